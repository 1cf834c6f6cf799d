"""What a budget of queries buys a thief on census, by the victim's answers, the inputs and the strategy.

`fidelity_kappa` of the stolen model, the mean over seeds, beside an independent model of as many records with their
true labels. 20 epochs, undefended. Some minutes for each seed on one thread.

    python benchmarks/extraction_budgets.py [--seeds 3] [--budgets 100 300 1000] [--only shuffled]
"""

import argparse
import time
from collections.abc import Iterator

import torch

from amulet.core import Factory, Stream
from amulet.datasets import load_census, stratified_split
from amulet.training import DataSplits, MemoryStore, Recipe, Runtime, Victim
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet.unauth_model_ownership.attacks.pool import INPUTS
from amulet.unauth_model_ownership.attacks.strategies import CHOICES
from amulet.unauth_model_ownership.protocol import assess, measure

ANSWERS = {"kl": "probabilities", "logit_mse": "logits", "hard_labels": "labels"}


def scene(seed: int) -> tuple[Victim, DataSplits]:
    """An undefended victim on half of census, and the splits of a run."""
    data, stream = load_census(), Stream(seed)
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet"),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-3),
        epochs=20,
        batch_size=256,
        runtime=Runtime(store=MemoryStore()),
    )
    n = len(data.train)
    mine, theirs = stratified_split(data.train.y, [n - n // 2, n // 2], (stream / "split").generator())
    splits = DataSplits(
        data=data,
        victim_records=data.train.take(mine),
        adversary_records=data.train.take(theirs),
        stream=stream,
        runtime=recipe.runtime,
        plain_recipe=recipe,
    )
    return Victim("undefended", recipe, splits.victim_records, stream / "victim"), splits


def thieves() -> Iterator[tuple[str, ModelExtraction]]:
    """The attacks by name."""
    for objective, answers in ANSWERS.items():
        yield f"records, {answers}", ModelExtraction(objective=objective)  # type: ignore[arg-type]
    for objective in ("kl", "hard_labels"):
        for inputs in INPUTS:
            yield f"{inputs}, {ANSWERS[objective]}", ModelExtraction(objective=objective, inputs=inputs)
        for strategy in (*CHOICES, "jacobian"):
            attack = ModelExtraction(objective=objective, strategy=strategy, queries=1)  # type: ignore[arg-type]
            yield f"{strategy}, {ANSWERS[objective]}", attack


def kappas(victim: Victim, splits: DataSplits, attack: ModelExtraction, budgets: list[int]) -> tuple[list[float], ...]:
    """`fidelity_kappa` at each budget of the stolen and of the independent model."""
    if not attack.sequential:  # the answers of the largest budget hold those of the others
        found = measure(assess(victim, attack.changed(queries=max(budgets), query_curve=budgets), splits))
        names = [f"queries_{budget}.fidelity_kappa" for budget in budgets]
        return [found.metrics[name] for name in names], [found.baselines[name] for name in names]
    runs = [measure(assess(victim, attack.changed(queries=budget), splits)) for budget in budgets]
    return tuple(
        [numbers["fidelity_kappa"] for numbers in part]
        for part in zip(*[(r.metrics, r.baselines) for r in runs], strict=True)
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--only", default="", help="a part of the names of the attacks to run")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    scenes = [scene(seed) for seed in range(asked.seeds)]
    print(f"fidelity_kappa on census, mean of {asked.seeds} seeds; in brackets the largest distance of a seed from it")
    print(f"{'inputs or strategy, answers':<28}" + "".join(f"{b:>16,}" for b in asked.budgets) + f"{'seconds':>10}")
    alone = torch.zeros(0)
    for name, attack in thieves():
        if asked.only not in name:
            continue
        began = time.perf_counter()
        both = torch.tensor([kappas(victim, splits, attack, asked.budgets) for victim, splits in scenes])
        alone = both[:, 1] if not len(alone) else alone
        print(f"{name:<28}{_cells(both[:, 0])}{time.perf_counter() - began:>10.0f}", flush=True)
    print(f"{'independent, true labels':<28}{_cells(alone)}")


def _cells(values: torch.Tensor) -> str:
    means = values.mean(dim=0)
    spread = (values - means).abs().amax(dim=0)
    return "".join(f"{mean:>9.2f} ({far:.2f})" for mean, far in zip(means.tolist(), spread.tolist(), strict=True))


if __name__ == "__main__":
    main()
