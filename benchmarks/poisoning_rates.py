"""The success of each poisoning attack over rates, beside accuracy, on an undefended victim: mean over seeds.

    python benchmarks/poisoning_rates.py [census|fmnist] [attack ...] [seeds=5] [rates=0.01,0.1]
        [root=/path/to/data] [setting=value ...]

A small CNN on Fashion-MNIST (6,000 records of the victim, 5 epochs, 2,000 test records), LinearNet on
census (half of its training split, 10 epochs, as in `amulet matrix`). A setting is one of the attack's, such as
`strength=1.0`. A rate that the data cannot give is left out.
"""

import dataclasses
import importlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from amulet.assessment import Plan, assess, check
from amulet.core import Factory, IncompatibleError
from amulet.datasets import AmuletDataset, load_census, load_fmnist
from amulet.poisoning.attacks import PoisoningAttack
from amulet.testing.schema import unwritten

RATES = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
COLUMNS = ("attack_success_rate", "triggered_accuracy", "poisoned_test_accuracy")
TRAININGS: dict[str, dict[str, Any]] = {
    "fmnist": {
        "architecture": Factory("amulet.models.SmallCNN", channels=[8, 16], convs=1, pooled=4, hidden=[64]),
        "optimizer": Factory("torch.optim.Adam", lr=2e-3),
        "epochs": 5,
        "batch_size": 64,
        "adversary_fraction": 0.25,
    },
    "census": {
        "architecture": Factory("amulet.models.LinearNet"),
        "optimizer": Factory("torch.optim.Adam", lr=1e-3),
        "epochs": 10,
        "batch_size": 256,
    },
}


def data_of(name: str, root: str | None) -> AmuletDataset:
    """The records."""
    if name == "census":
        return load_census()
    data = load_fmnist(root=root, limit=8000)
    return dataclasses.replace(data, test=data.test.take(torch.arange(2000)))


def attacks(names: list[str], settings: dict[str, Any]) -> Iterator[PoisoningAttack]:
    """Every attack of the package, or some by the names of their classes, with those of the settings that they have."""
    package = importlib.import_module("amulet.poisoning.attacks")
    for name in names or package.__all__:
        found = getattr(package, name)
        if isinstance(found, type) and issubclass(found, PoisoningAttack) and not unwritten(found):
            yield found(**{name: value for name, value in settings.items() if name in found.parameters()})


def feasible(plan: Plan, attack: PoisoningAttack, wanted: Sequence[float]) -> list[float]:
    """The rates that the data can give; none where the attack makes no sense on them."""
    rates: list[float] = []
    for rate in wanted:
        try:
            check(plan_with(plan, attack.changed(rate=rate)))
            rates.append(rate)
        except IncompatibleError as refused:
            if not rates and rate == wanted[-1]:
                print(f"    {refused}")
    return rates


def plan_with(plan: Plan, attack: PoisoningAttack, seed: int = 0) -> Plan:
    """The same plan with an attack and a seed."""
    return dataclasses.replace(plan, attack=attack, metrics=(attack.risk,), seed=seed)


def table(plan: Plan, attack: PoisoningAttack, seeds: int, wanted: Sequence[float]) -> None:
    """Print a row for each rate: means over seeds, and the success of each seed."""
    began = time.perf_counter()
    rates = feasible(plan, attack, wanted)
    if not rates:
        return
    most = attack.changed(rate=rates[-1], rate_curve=rates[:-1] or None)
    found = [assess(plan_with(plan, most, seed)) for seed in range(seeds)]
    print(f"  {attack!r}")
    print(f"  unpoisoned: {_row([one.baselines['undefended'] for one in found], '')}")
    for rate in rates:
        prefix = "" if rate == rates[-1] else f"rate_{100 * rate:g}pct."
        print(f"  {100 * rate:9g}%: {_row([one.metrics['undefended'] for one in found], prefix)}")
    print(f"  {time.perf_counter() - began:.0f} s", flush=True)


def _row(found: list[dict[str, float]], prefix: str) -> str:
    means = [
        f"{name} {100 * np.mean([one[prefix + name] for one in found]):5.1f}"
        for name in COLUMNS
        if prefix + name in found[0]
    ]
    each = ", ".join(f"{100 * one[prefix + COLUMNS[0]]:.0f}" for one in found)
    return f"{'   '.join(means)}   ({each})"


def main(words: list[str]) -> None:
    """The tables that the words ask for."""
    torch.set_num_threads(1)
    pairs = dict(word.split("=") for word in words if "=" in word)
    rates = tuple(map(float, pairs.pop("rates").split(","))) if "rates" in pairs else RATES
    root = pairs.pop("root", None)
    settings = {name: json.loads(value) for name, value in pairs.items()}
    names = [word for word in words if "=" not in word]
    where = [name for name in names if name in TRAININGS] or ["census"]
    for name in where:
        data = data_of(name, root)
        plan = Plan(data=data, **TRAININGS[name])
        print(f"{name}, {len(data.train):,} records")
        for attack in attacks([one for one in names if one not in where], settings):
            table(plan, attack, settings.get("seeds", 1), rates)


if __name__ == "__main__":
    main(sys.argv[1:])
