"""One model's made-up runs, as a report to hand on reads them."""

from pathlib import Path
from typing import Any

import numpy as np

from amulet_cli.results.result import VICTIMS, Result
from tests.helpers.made_up_results import MadeUp, choices, typical, write
from tests.helpers.report_toys import FAIR, LIRA

LABELS = ("no credit", "credit")
DATA = {"labels": list(LABELS), "values": {"race": ["a", "b"]}, "columns": ["age", "income"], "licence": "CC BY 4.0"}
SPLIT = {name: {"records": n} for name, n in (("victim", 1200), ("adversary", 1200), ("test", 2400))}
BUDGET = {victim: {"epsilon": 0.05, "norm": "linf", "warnings": ["this may be doubtful"]} for victim in VICTIMS}
MANIFEST = {"dataset": DATA, "split": SPLIT, "evasion": BUDGET}


def stolen(folder: Path, seed: int = 0, **manifest: Any) -> Result:
    """Model extraction, and evasion beside it."""
    made = typical(seed)
    made.manifest = {**MANIFEST, **manifest}
    return write(folder, made, seed=seed)


def members(folder: Path, seed: int = 0, auc: float = 0.6, few: int = 40) -> Result:
    """Membership inference on 400 records, half of them members; of group `few` that many are members."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for victim in VICTIMS:
        start = f"{victim}.membership_inference."
        ids = rng.permutation(np.arange(10_000, 10_400))
        is_member = np.arange(400) < 200
        group = np.zeros(400, bool)
        group[:few] = True
        other = np.arange(400) % 2 == 0
        arrays |= {
            f"{start}ids": ids,
            f"{start}members": is_member,
            f"{start}groups.race.few": group,
            f"{start}groups.race.many": ~group,
            f"{start}groups.sex.f": other,
            f"{start}groups.sex.m": ~other,
            f"{start}exposed.ids": ids[:100],
            f"{start}exposed.scores": np.linspace(5, 1, 100),
            f"{start}exposed.false_alarms": np.repeat([0.0, 0.01, 0.04], [7, 50, 43]),
        }
    metrics = {victim: {"test_accuracy": 0.8, "lira_online.auc": auc} for victim in VICTIMS}
    kept = {**MANIFEST, "membership_inference": {v: {"members": 200, "non_members": 200} for v in VICTIMS}}
    baselines = {victim: {"lira_online.auc": 0.5, "test_accuracy": 0.7} for victim in VICTIMS}
    made = MadeUp(metrics, baselines=baselines, arrays=arrays, manifest=kept)
    return write(folder, made, seed=seed, chosen=choices(attack="lira"), overrides=LIRA)


def groups(folder: Path, gap: float = 0.2, interval: tuple[float, float] = (0.15, 0.25)) -> Result:
    """Discriminatory behavior."""
    name = "race.equalized_odds_difference"
    made = MadeUp(
        {victim: {name: gap} for victim in VICTIMS},
        baselines={victim: {name: 0.04} for victim in VICTIMS},
        intervals={victim: {name: interval} for victim in VICTIMS},
        manifest=MANIFEST,
    )
    return write(folder, made, chosen=choices(attack="discriminatory_behavior"), overrides=FAIR)
