"""Results that no model made: folders as a run leaves them, with numbers that are known beforehand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from amulet.assessment import Outcome
from amulet.core.blocks import BLOCKS, RecordBlocks
from amulet.core.facts import RunFacts
from amulet_cli.results import seal
from amulet_cli.results.result import Result, result_folder
from amulet_cli.results.schema1 import facts_of
from amulet_cli.results.writing import write_outcome

Numbers = dict[str, dict[str, float]]


@dataclass
class MadeUp(Outcome):
    """What an assessment would hand over."""

    metrics: Numbers = field(default_factory=dict[str, dict[str, float]])
    baselines: Numbers = field(default_factory=dict[str, dict[str, float]])
    intervals: dict[str, dict[str, tuple[float, float]]] = field(
        default_factory=dict[str, dict[str, tuple[float, float]]]
    )
    influences: dict[str, dict[str, RecordBlocks]] = field(default_factory=dict[str, dict[str, RecordBlocks]])
    invalid: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: list[str] = field(default_factory=list[str])
    timings: dict[str, float] = field(default_factory=lambda: {"train": 1.5})
    arrays: dict[str, Any] = field(default_factory=lambda: {"undefended.ids": np.arange(3)})
    facts: RunFacts = field(default_factory=RunFacts)


def config(seed: Any = 0, **settings: Any) -> dict[str, Any]:
    """A resolved configuration; dots in names make nested keys."""
    made: dict[str, Any] = {
        "seed": seed,
        "device": "cpu",
        "output_dir": "outputs",
        "epochs": 30,
        "dataset": {"_target_": "amulet.datasets.load_census", "about": {"line": "The census."}},
        "defense": {"_target_": "amulet.evasion.defenses.AdversarialTrainingPGD", "epsilon": 0.05},
        "attack": {"_target_": "amulet.unauth_model_ownership.attacks.ModelExtraction"},
    }
    for key, value in settings.items():
        *groups, name = key.split(".")
        place = made
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return made


def choices(
    defense: str = "adv_training", attack: str = "model_extraction", dataset: str = "census", **more: str
) -> dict[str, str]:
    """What was chosen from each group."""
    return {"dataset": dataset, "model": "linearnet", "defense": defense, "attack": attack, **more}


def write(
    output_dir: Path,
    outcome: MadeUp,
    *,
    seed: int = 0,
    chosen: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Result:
    """Write a finished run; the overrides become part of its configuration."""
    chosen = choices() if chosen is None else chosen
    overrides = {} if overrides is None else overrides
    cfg = config(seed, **overrides)
    folder = result_folder(cfg, chosen, output_dir)
    environment = {"python": "3.11"}
    return write_outcome(
        folder, stated(outcome, cfg), choices=chosen, overrides=overrides, config=cfg, environment=environment
    )


def stated(outcome: MadeUp, cfg: Mapping[str, Any]) -> MadeUp:
    """The same with the facts that the library states of metrics of these names; as they are where there are some."""
    names = (name for row in outcome.metrics.values() for name in row)
    return outcome if outcome.facts.metrics else replace(outcome, facts=facts_of(names, cfg))


def with_records(outcome: MadeUp) -> MadeUp:
    """The same with the influence of records that makes intervals as wide as those that it has."""
    influences: dict[str, dict[str, RecordBlocks]] = {}
    for k, (victim, row) in enumerate(outcome.intervals.items()):
        for name, (low, high) in row.items():
            draw = np.random.default_rng([k, len(name)]).normal(size=BLOCKS)
            sums = (draw - draw.mean()) / draw.std() * (high - low) / (2 * 1.96 * BLOCKS**0.5)
            blocks = RecordBlocks(digest="same", records=23_224, spread=1.0, sums=tuple(sums.tolist()))
            influences.setdefault(victim, {})[name] = blocks
    return replace(outcome, influences=influences)


def typical(seed: int = 0, epsilon: float = 0.05) -> MadeUp:
    """Numbers of the size that adversarial training and model extraction have on census."""
    noise = np.random.default_rng(seed + round(1000 * epsilon)).normal(0, 0.004, 16).tolist()
    undefended = {
        "train_accuracy": 0.861 + noise[0],
        "test_accuracy": 0.842 + noise[1],
        "robust_accuracy": 0.84 - min(12 * epsilon, 0.6) + noise[2],
        "stolen_test_accuracy": 0.841 + noise[3],
        "fidelity": 0.955 + noise[4],
        "correct_fidelity": 0.851 + noise[5],
        "agreement_and_correct": 0.813 + noise[6],
        "fidelity_kappa": 0.865 + noise[7],
    }
    defended = {
        "train_accuracy": 0.838 + noise[8],
        "test_accuracy": 0.834 + noise[9],
        "robust_accuracy": 0.83 - epsilon + noise[10],
        "stolen_test_accuracy": 0.835 + noise[11],
        "fidelity": 0.978 + noise[12],
        "correct_fidelity": 0.846 + noise[13],
        "agreement_and_correct": 0.827 + noise[14],
        "fidelity_kappa": 0.925 + noise[15],
    }
    metrics = {"undefended": undefended, "defended": defended}
    counted = ("test_accuracy", "robust_accuracy", "stolen_test_accuracy", "fidelity")
    return MadeUp(
        metrics,
        baselines={
            victim: {
                "test_accuracy": 0.7607,
                "robust_accuracy": row["test_accuracy"],
                "stolen_test_accuracy": 0.7607,
            }
            for victim, row in metrics.items()
        },
        intervals={
            victim: {name: (row[name] - 0.005, row[name] + 0.005) for name in counted}
            for victim, row in metrics.items()
        },
        manifest={"victim": 11_611, "adversary": 11_612, "test": 23_224},
    )


def reseal(path: Path, **changes: Any) -> None:
    """Other content of a `metrics.json`, sealed with the files that are there, as another version might write it."""
    content = json.loads(path.read_text())
    names = content.pop("seal")["files"]
    kept = {key: value for key, value in (content | changes).items() if value is not None}
    path.write_text(json.dumps(seal.sealed(kept, path.parent, names)))
