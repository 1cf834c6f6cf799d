"""How membership inference is assessed: the victim trained again on some of the candidates, and attacked."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from amulet.core.access import Access
from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.membership_inference.attacks import CanaryAudit, LiRA
from amulet.membership_inference.attacks.candidates import CandidateAttack
from amulet.membership_inference.metrics import MembershipEvidence, measure
from amulet.models.inspect import predict
from amulet.training.defense import Defense
from amulet.training.removal import removal_in
from amulet.training.victim import DataSplits, Victim

AUDITABLE = 100
"""Records of a victim from which its promised epsilon is audited: a quarter of them are the canaries."""

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> CandidateAttack:
    """LiRA with 16 shadow models."""
    return LiRA()


def check(attack: CandidateAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any recipe can be trained again. With `data`: is the pool as large as asked?"""
    if data is None:
        return
    if attack.pool_size is not None and attack.pool_size > len(data.train):
        raise SettingError(
            f"`attack.pool_size` must be at most the {len(data.train)} training records, got {attack.pool_size}"
        )
    attack.check(data)


def assess(victim: Victim, attack: CandidateAttack, splits: DataSplits) -> MembershipEvidence:
    """Train the victim again on some of the candidates and let the attack score all of them.

    Candidates, members and streams are the same for both victims; the test split, on which no model is trained, is the
    population.
    """
    stream = splits.attack_stream("membership")
    own = victim.pretrained is not None and victim.pretrained.members_known and not splits.defenses
    if own and Access.TRAINING not in attack.needs:
        return _of_the_given(victim, attack, splits)
    drawn = attack.candidates(victim, splits)
    pool, members, training = drawn.pool, drawn.members, drawn.training
    if torch.isin(training.ids, splits.test_records.ids).any() or torch.isin(pool.ids, splits.test_records.ids).any():
        raise RuntimeError("candidates and test split must be disjoint")
    attacked = victim.on(training, "on half of the candidates")
    recipe = victim.recipe if attack.shadow == "same_as_victim" else splits.plain_recipe
    answer = partial(predict, attacked.model)
    evidence = attack.run(answer, recipe, pool, members, splits.test_records, stream, victim=victim.name)
    report = attacked.trained.report
    removal = removal_in(attacked.trained.arrays)
    retained = None if removal is None else evidence.members & ~np.isin(evidence.ids, removal.ids[removal.removed])
    correct = evidence.correct
    manifest = {
        "pool": {"drawn_from": "the training split, of the victim and of the adversary", "digest": pool.digest[:16]},
        "members": int(members.sum()),
        "non_members": int((~members).sum()),
        "members_digest": training.digest[:16],
        "population": len(splits.test_records),
        "n_shadow": attack.n_shadow,
        "shadow": attack.shadow,
        "shadow_records": len(pool) // 2 if attack.n_shadow else 0,
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
    delta_tested = float(report.get("delta", len(training) ** -1.1))
    audit = attack.outcome(evidence.scores[evidence.deciding], evidence.members, delta_tested)
    if audit is None and epsilon is not None and math.isfinite(epsilon) and len(victim.records) >= AUDITABLE:
        audit = assess(victim, CanaryAudit(), splits).audit
    if audit is not None:
        manifest["audit"] = dataclasses.asdict(audit)
    return dataclasses.replace(
        evidence,
        audit=audit,
        retained=retained,
        epsilon=epsilon,
        delta=delta or 0.0,
        whole_split=drawn.others is None and len(pool) >= len(splits.data.train) - 1,
        manifest=manifest,
    )


def _of_the_given(victim: Victim, attack: CandidateAttack, splits: DataSplits) -> MembershipEvidence:
    """The given model itself, whose members are known: candidates are these and half of the test records.

    The other half is the population, with which the candidates are compared. With `attack.pool_size` half of that many
    of each are candidates, if there are so many.
    """
    members, stream = splits.data.train, splits.attack_stream("membership")
    half = len(splits.test_records) // 2
    sizes = [half, len(splits.test_records) - half]
    mine, theirs = stratified_split(splits.test_records.y.cpu(), sizes, (stream / "outsiders").generator())
    outsiders, population = splits.test_records.take(mine), splits.test_records.take(theirs)
    if attack.pool_size is not None:
        members, outsiders = (
            _some(part, attack.pool_size // 2, stream / "pool" / name)
            for part, name in ((members, "members"), (outsiders, "outsiders"))
        )
    candidates = members.concat(outsiders)

    def answer(records: Records) -> Tensor:
        """What was asked before is not asked again; noisy copies are asked about once and not kept."""
        kept = records.digest in (candidates.digest, population.digest)
        return victim.logits(records) if kept else predict(victim.model, records)

    inside = torch.cat([torch.ones(len(members), dtype=torch.bool), torch.zeros(len(outsiders), dtype=torch.bool)])
    evidence = attack.run(answer, splits.plain_recipe, candidates, inside, population, stream, victim=victim.name)
    manifest = {
        "pool": {"drawn_from": "the records that the given model was trained on, and half of the test records"},
        "members": len(members),
        "non_members": len(outsiders),
        "population": len(population),
        "n_shadow": 0,
        "train_accuracy": round(float(evidence.correct[evidence.members].mean()), 6),
        "held_out_accuracy": round(float(evidence.correct[~evidence.members].mean()), 6),
        **evidence.manifest,
        **attack.manifest(),
    }
    return dataclasses.replace(evidence, manifest=manifest)


def _some(records: Records, count: int, stream: Stream) -> Records:
    """At most `count` of them, stratified."""
    if count >= len(records):
        return records
    return records.take(stratified_split(records.y.cpu(), [count], stream.generator())[0])
