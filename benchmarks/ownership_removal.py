"""What each remover leaves of a watermark or a fingerprint on census, and what it costs the thief.

Matches among 100 triggers of a watermark, the median p-value, how many copies are recognised at 0.01, and the accuracy
of the copies. 20 epochs. Some minutes for each seed on one thread.

    python benchmarks/ownership_removal.py [--seeds 3] [--marks noise in_distribution fingerprint]
"""

import argparse
from collections.abc import Mapping

import numpy as np
import torch

from amulet.core import Factory, Stream
from amulet.datasets import load_census, stratified_split
from amulet.training import DataSplits, MemoryStore, Recipe, Runtime, Victim
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet.unauth_model_ownership.defenses import DatasetInference, OwnershipDefense, WatermarkNN
from amulet.unauth_model_ownership.metrics import OwnershipEvidence
from amulet.unauth_model_ownership.protocol import assess
from amulet.unauth_model_ownership.removers import (
    USUAL,
    AdversarialTuning,
    Distilling,
    FinePruning,
    FineTuning,
    Remover,
)

MARKS: Mapping[str, OwnershipDefense] = {
    "noise": WatermarkNN(),
    "in_distribution": WatermarkNN(trigger_inputs="in_distribution", repeats=30),
    "fingerprint": DatasetInference(records=1000),
}
REMOVERS: Mapping[str, Remover] = {
    **USUAL,
    "fine_tuned_x20": FineTuning(rate=20.0),
    "pruned_80_tuned": FinePruning(share=0.8),
    "tuned_on_worst": AdversarialTuning(),
    "distilled": Distilling(),
    "distilled_labels": Distilling(objective="hard_labels"),
}


def evidence(seed: int, defense: OwnershipDefense) -> OwnershipEvidence:
    """How the defence judges two copies of each kind, and three independent models."""
    data, stream = load_census(), Stream(seed)
    plain = Recipe(
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
        runtime=plain.runtime,
        defenses=(defense,),
        plain_recipe=plain,
    )
    recipe = plain.changed(defenses=(defense,))
    victim = Victim("defended", recipe, splits.victim_records, stream / "victim")
    return assess(victim, ModelExtraction(removers=REMOVERS, suspects=1, independents=3), splits)


def main() -> None:
    """Print one table for each mark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--marks", nargs="+", default=list(MARKS), choices=list(MARKS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for mark in asked.marks:
        defense = MARKS[mark]
        found = [evidence(seed, defense) for seed in range(asked.seeds)]
        print(f"\n{mark}: {defense!r}, {asked.seeds} seeds")
        print(f"{'copies':<18}{'matches':>9}{'p, median':>12}{'recognised':>12}{'accuracy':>10}")
        for kind in found[0].verifications[0].p_values:
            judged = [one.verifications[0] for one in found]
            p = np.concatenate([verification.p_values[kind] for verification in judged])
            score = np.concatenate([verification.scores[kind] for verification in judged]).mean()
            right = np.concatenate([one.suspect_accuracies[kind] for one in found]).mean()
            matches = f"{100 * score:.0f}" if judged[0].trials else ""
            caught = f"{int((p <= defense.alpha).sum())} of {len(p)}"
            print(f"{kind:<18}{matches:>9}{np.median(p):>12.1e}{caught:>12}{100 * right:>10.1f}", flush=True)
        claims = [one.verifications[0].false_claim for one in found]
        told = [claim for claim in claims if claim is not None]
        if told:
            print(
                f"{'a false claim':<18}{'':>9}{np.median(told):>12.1e}{sum(c <= 0.01 for c in told):>7} of {len(told)}"
            )


if __name__ == "__main__":
    main()
