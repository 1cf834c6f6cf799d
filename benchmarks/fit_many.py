"""Training 32 LinearNets on census one after the other, in worker processes, and stacked by `torch.func`.

    python benchmarks/fit_many.py [--models 32] [--epochs 10] [--workers 2] [--device cpu] [--repeats 3]

Each model trains on a random half of the 11,611 records of a victim, as LiRA's shadow models do. One thread per
process. The three ways take turns; workers are measured cold (started for it) and warm. Seconds are of the clock: run
it where as many cores are idle as there are workers. The largest difference between weights is printed beside them.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from amulet.core import Factory, Stream
from amulet.datasets import Records, load_census
from amulet.training import Recipe, Runtime, Stored
from amulet.training.parallel.many import in_stacks

Models = list[dict[str, torch.Tensor]]


def tables(models: int) -> list[Records]:
    """A random half of the victim's records for each model."""
    pool = load_census().train.take(torch.arange(11_611))
    half = len(pool) // 2
    return [pool.take(torch.randperm(len(pool), generator=(Stream(0) / k).generator())[:half]) for k in range(models)]


def main() -> None:
    """Measure and say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("models", 32), ("epochs", 10), ("workers", 2), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    records, streams = tables(asked.models), [Stream(0) / "shadow" / k for k in range(asked.models)]
    device = torch.device(asked.device)

    def recipe(workers: int = 1) -> Recipe:
        """With an empty store, so that nothing is loaded."""
        return Recipe(
            architecture=Factory("amulet.models.LinearNet"),
            num_classes=2,
            optimizer=Factory("torch.optim.Adam", lr=1e-3),
            epochs=asked.epochs,
            runtime=Runtime(device=device, workers=workers),
        )

    def in_turn() -> Models:
        plain = recipe()
        return [weights(plain.make(r, s, str(k))[0]) for k, (r, s) in enumerate(zip(records, streams, strict=True))]

    def in_workers() -> Models:
        return [model.state_dict() for model in recipe(asked.workers).fit_many(records, streams)]

    def stacked() -> Models:
        plain = recipe()
        jobs = [(r, s, str(k)) for k, (r, s) in enumerate(zip(records, streams, strict=True))]
        found = dict(in_stacks(plain, jobs, "models"))
        return [weights(found[str(k)]) for k in range(len(jobs))]

    ways: dict[str, Callable[[], Models]] = {"one after the other": in_turn, "stacked": stacked}
    if device.type == "cpu":
        ways[f"{asked.workers} workers"] = in_workers
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, Models] = {}
    for _ in range(asked.repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            made[name] = way()
            seconds[name].append(time.perf_counter() - began)
    reference = statistics.median(seconds["one after the other"])
    print(
        f"{asked.models} LinearNets, {asked.epochs} epochs of {len(records[0])} records each, on {device}, one thread"
    )
    for name, found in seconds.items():
        off = max(
            (one[key].cpu() - other[key].cpu()).abs().max().item()
            for one, other in zip(made[name], made["one after the other"], strict=True)
            for key in one
        )
        median = statistics.median(found)
        print(
            f"  {name:20} {median:7.2f} s  {reference / median:5.2f} times as fast"
            f"  (first call {found[0]:.2f} s, {reference / found[0]:.2f} times)  weights off by {off:.1e}"
        )


def weights(stored: Stored) -> dict[str, torch.Tensor]:
    """Of a trained model, by name."""
    return {name[6:]: value for name, value in stored.tensors.items() if name.startswith("model.")}


if __name__ == "__main__":
    main()
