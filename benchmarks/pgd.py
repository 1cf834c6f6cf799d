"""PGD on the census test split beside its peers, on one thread, in one process.

Run it with `make bench`. 40 steps of epsilon / 10 at epsilon 0.05 against a LinearNet; every attack in turn, the
median of the repetitions and its ratio to ours. A peer that is not installed is left out and named.
"""

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from amulet.core import Factory, Stream
from amulet.datasets import load_census
from amulet.evasion.attacks import EvasionPGD
from amulet.models import predict
from amulet.training import Recipe

EPSILON, STEPS, REPEATS = 0.05, 40, 3


def attacks(model: torch.nn.Module, x: Tensor, y: Tensor, records: Any) -> dict[str, Callable[[], Tensor]]:
    """By name: what makes the adversarial inputs."""
    found: dict[str, Callable[[], Tensor]] = {
        "amulet": lambda: EvasionPGD(epsilon=EPSILON).adversarial(model, records, Stream(0)),
        "amulet, float32": lambda: EvasionPGD(epsilon=EPSILON, search_dtype="float32").adversarial(
            model, records, Stream(0)
        ),
    }
    if torchattacks := _installed("torchattacks"):
        found["torchattacks"] = lambda: torchattacks.PGD(model, eps=EPSILON, alpha=EPSILON / 10, steps=STEPS)(x, y)
    if foolbox := _installed("foolbox"):
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        linf = foolbox.attacks.LinfPGD(abs_stepsize=EPSILON / 10, steps=STEPS)
        found["foolbox"] = lambda: linf(wrapped, x, y, epsilons=EPSILON)[1]
    if _installed("art"):
        from art.attacks.evasion import ProjectedGradientDescentPyTorch
        from art.estimators.classification import PyTorchClassifier

        loss = torch.nn.CrossEntropyLoss()
        classifier = PyTorchClassifier(model, loss, tuple(x.shape[1:]), 2, clip_values=(0, 1), device_type="cpu")
        art = ProjectedGradientDescentPyTorch(
            classifier,
            eps=EPSILON,
            eps_step=EPSILON / 10,
            max_iter=STEPS,
            num_random_init=1,
            batch_size=1024,
            verbose=False,
        )
        found["ART"] = lambda: torch.from_numpy(art.generate(x.numpy(), y.numpy()))
    return found


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.stderr.write(f"{name} is not installed: left out\n")
        return None


def main() -> None:
    """Print one row for each attack: median seconds, ratio to ours, robust accuracy."""
    torch.set_num_threads(1)
    data = load_census()
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet"),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-3),
        epochs=20,
    )
    model = recipe.fit(data.train, Stream(0) / "victim")
    runs = attacks(model, data.test.x, data.test.y, data.test)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    accuracy: dict[str, float] = {}
    for _ in range(REPEATS):
        for name, run in runs.items():
            began = time.perf_counter()
            x = run()
            seconds[name].append(time.perf_counter() - began)
            accuracy[name] = (predict(model, x).argmax(1) == data.test.y).double().mean().item()
    ours = statistics.median(seconds["amulet"])
    print(f"PGD, {STEPS} steps, eps {EPSILON}, {len(data.test):,} census records, one thread, median of {REPEATS}")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:18} {median:7.2f} s  {median / ours:5.2f} times ours   robust accuracy {accuracy[name]:.4f}")


if __name__ == "__main__":
    main()
