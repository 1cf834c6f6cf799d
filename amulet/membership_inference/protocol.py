"""How membership inference is assessed: the victim trained on a random half of a pool, and shadow models on others."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch

from amulet.core.errors import SettingError
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.membership_inference.attacks import LiRA, MembershipAttack
from amulet.membership_inference.attacks.shadows import half_split
from amulet.membership_inference.metrics import MembershipEvidence, measure
from amulet.training.defense import Defense
from amulet.training.removal import removal_in
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> MembershipAttack:
    """LiRA with 16 shadow models."""
    return LiRA()


def check(attack: MembershipAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any recipe can be trained again. With `data`: is the pool as large as asked?"""
    if data is None:
        return
    if attack.pool_size is not None and attack.pool_size > len(data.train):
        raise SettingError(
            f"`attack.pool_size` must be at most the {len(data.train)} training records, got {attack.pool_size}"
        )
    attack.check(data)


def assess(victim: Victim, attack: MembershipAttack, splits: DataSplits) -> MembershipEvidence:
    """Train the victim again on a random half of the pool, the shadow models on other halves, and score the pool.

    The pool is drawn from the whole training split, independently of the victim's and the adversary's part:
    members and non-members are equal in number and exchangeable. Pool, halves and streams are the same for both
    victims; the test split, on which no model is trained, is RMIA's population.
    """
    stream = splits.attack_stream("membership")
    pool = _pool(attack, splits)
    inside, outside = half_split(pool.y.cpu(), stream / "victim")
    members = torch.zeros(len(pool), dtype=torch.bool)
    members[inside] = True
    if members.sum() != len(outside) or torch.isin(pool.ids, splits.test_records.ids).any():
        raise RuntimeError("members, non-members and test split must be disjoint, the first two of equal size")
    attacked = victim.on(pool.take(inside), "on half of the pool")
    recipe = victim.recipe if attack.shadow == "same_as_victim" else splits.plain_recipe
    evidence = attack.run(attacked.logits, recipe, pool, members, splits.test_records, stream, victim=victim.name)
    report = attacked.trained.report
    removal = removal_in(attacked.trained.arrays)
    retained = None if removal is None else evidence.members & ~np.isin(evidence.ids, removal.ids[removal.removed])
    correct = evidence.correct
    manifest = {
        "pool": {"drawn_from": "the training split, of the victim and of the adversary", "digest": pool.digest[:16]},
        "members": len(inside),
        "non_members": len(outside),
        "members_digest": attacked.records.digest[:16],
        "population": len(splits.test_records),
        "n_shadow": attack.n_shadow,
        "shadow": attack.shadow,
        "shadow_records": len(pool) // 2,
        "train_accuracy": round(float(correct[evidence.members].mean()), 6),
        "held_out_accuracy": round(float(correct[~evidence.members].mean()), 6),
    }
    if retained is not None:
        manifest["retained_members"] = int(retained.sum())
    manifest |= {**evidence.manifest, **attack.manifest()}
    epsilon = delta = None
    if {"epsilon", "delta"} <= report.keys():
        epsilon = math.nan if report["epsilon"] is None else float(report["epsilon"])
        manifest["delta"] = delta = float(report["delta"])
    return dataclasses.replace(
        evidence,
        retained=retained,
        epsilon=epsilon,
        delta=delta or 0.0,
        whole_split=len(pool) >= len(splits.data.train) - 1,
        manifest=manifest,
    )


def _pool(attack: MembershipAttack, splits: DataSplits) -> Records:
    """An even number of training records, stratified: `pool_size`, or all but an odd last one, for every seed."""
    records = splits.data.train
    size = min(attack.pool_size or len(records), len(records))
    size -= size % 2
    if size == len(records):
        return records
    if size == len(records) - 1:
        return records.take(torch.arange(size))
    (chosen,) = stratified_split(records.y.cpu(), [size], splits.attack_stream("membership", "pool").generator())
    return records.take(chosen)
