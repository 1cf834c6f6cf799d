"""What `amulet matrix` of five data sets costs, and how it splits over workers, from measured unit costs.

    python benchmarks/cost.py [--seeds 10] [--epochs 10] [--gpu 100]

Census: the `timings` in the results of `taskset -c 0 amulet matrix seeds=1 hydra/launcher=basic` (10 epochs).
The others: how many records pass through a model in training and under attack, times the measured processor time of
`model=cnn` per record (docs/models.md, bfloat16; DP-SGD float32), scaled by the number of pixels. `--gpu` is an
assumption, not a measurement: how many such cores one GPU is worth. Seconds and hours are of one core.
"""

import argparse
import heapq
from collections.abc import Sequence
from typing import NamedTuple

CENSUS = {
    "undefended": 207.4,
    "adv_training": 238.1,
    "outlier_removal": 102.5,
    "watermark": 97.0,
    "dataset_inference": 0.1,
    "dp_sgd": 141.0,
    "adv_debiasing": 139.0,
}
STEP, PRIVATE_STEP = 0.0020, 0.0076
"""Core seconds of a training step of `model=cnn` per record of 32 x 32 pixels."""
SHADOWS, DISTRIBUTION_MODELS, SEARCH, PGD = 16, 340, 10, 40
"""LiRA's shadow models; models of distribution inference (the victim's 150 and the adversary's 20 for each of two
shares); steps of PGD in adversarial training and in the attack."""
SOUGHT = 2 / 3
"""Of a step's cost, where a gradient is wanted for the picture and not for the weights."""
JUDGED = 30
"""Trainings' worth of models that ownership is judged on: 18 suspects and their queries, for all defences together."""
DEFENSES = tuple(name for name in CENSUS if name != "undefended")


class Pictures(NamedTuple):
    """A data set of pictures: records of both splits, size of a picture as multiple of 32 x 32, attributes or not."""

    train: int
    test: int
    size: float
    attributes: bool


PICTURES = {
    "fmnist": Pictures(60_000, 10_000, 28 * 28 / 1024, attributes=False),
    "cifar10": Pictures(50_000, 10_000, 1.0, attributes=False),
    "lfw": Pictures(6_616, 6_617, 62 * 47 / 1024, attributes=True),
    "celeba": Pictures(162_770, 19_962, 64 * 64 / 1024, attributes=True),
}


def recipe_seconds(defense: str, data: Pictures, epochs: int) -> float:
    """Core seconds of one recipe in one seed of the matrix: its victim, every model an attack trains, PGD.

    >>> round(recipe_seconds("undefended", PICTURES["cifar10"], 10) / 3600, 1)
    7.1
    """
    if defense == "dataset_inference":  # changes no weight: everything is the undefended victim's
        return 0.0
    if defense == "adv_debiasing" and not data.attributes:  # refused
        return 0.0
    # Victim, poisoned, stolen and comparison model on half of the records each; shadows on half of the pool.
    trainings = 4 + SHADOWS
    # On half of what the rarer value allows at a share of 0.2 or 0.8: a tenth of the records, in round figures.
    passes = epochs * data.train * (trainings / 2 + (DISTRIBUTION_MODELS / 10 if data.attributes else 0))
    step = {"dp_sgd": PRIVATE_STEP, "adv_training": STEP + SEARCH * STEP * SOUGHT}.get(defense, STEP)
    judged = epochs * data.train / 2 * JUDGED * STEP if defense == "undefended" else 0.0
    return (passes * step + data.test * PGD * STEP * SOUGHT + judged) * data.size


def job_seconds(dataset: str, epochs: int) -> dict[str, float]:
    """Core seconds per recipe of one seed; the undefended one's share is computed once for all defences."""
    if dataset == "census":
        return {name: seconds * epochs / 10 for name, seconds in CENSUS.items()}
    return {name: recipe_seconds(name, PICTURES[dataset], epochs) for name in CENSUS}


def makespan(jobs: Sequence[float], workers: int) -> float:
    """Seconds until the last of some workers is done, the longest jobs first.

    >>> makespan([3, 3, 2, 2, 2], 2)
    7.0
    """
    free = [0.0] * workers
    for job in sorted(jobs, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + job)
    return max(free)


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--gpu", type=float, default=100.0, help="cores that one GPU is assumed to be worth")
    asked = parser.parse_args()
    names = ("census", *PICTURES)
    print("| core hours | undefended | " + " | ".join(DEFENSES) + " | all | GPU hours, assumed |")
    print("|---|" + "---:|" * (len(DEFENSES) + 3))
    jobs: list[float] = []
    for name in names:
        one = job_seconds(name, asked.epochs)
        jobs += [seconds for seconds in one.values() if seconds] * asked.seeds
        hours = [one[recipe] * asked.seeds / 3600 for recipe in CENSUS]
        on_gpu = "on the CPU" if name == "census" else f"{sum(hours) / asked.gpu:,.1f}"
        print(f"| {name} | " + " | ".join(f"{hour:,.1f}" for hour in (*hours, sum(hours))) + f" | {on_gpu} |")
    print(
        f"\n{len(jobs)} pieces of work, {sum(jobs) / 3600:,.0f} core hours; the longest is {max(jobs) / 3600:,.0f}.\n"
    )
    print("| workers | one core each: days | share of the time that a worker works | one GPU each, assumed: days |")
    print("|---:|---:|---:|---:|")
    for workers in (1, 10, 100):
        took = makespan(jobs, workers)
        days = took / 86400
        print(f"| {workers} | {days:,.1f} | {sum(jobs) / took / workers:.0%} | {days / asked.gpu:,.2f} |")


if __name__ == "__main__":
    main()
