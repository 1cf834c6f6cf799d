"""How evasion is assessed: each victim is attacked on the test split, with its own gradients."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.evasion.attacks import EvasionAttack, EvasionPGD
from amulet.evasion.budgets import Attacked
from amulet.evasion.checks import check_search, varies
from amulet.evasion.metrics import EvasionEvidence, measure
from amulet.models.inspect import device_of
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "attempt", "cascade", "check", "check_suite", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> EvasionAttack:
    """PGD with the budget of the defence under assessment, if it has one."""
    return EvasionPGD()


def check(attack: EvasionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any model can be attacked. With `data`: does the attack work on it, do the immutable columns exist?"""
    if data is not None:
        attack.check(data)
        attack.changeable(data)


def check_suite(attacks: Mapping[str, EvasionAttack], defenses: Sequence[Defense]) -> None:
    """`SettingError` unless all attacks have one threat model: the worst of several is a number at none of them."""
    (first, base), *others = attacks.items()
    for name, attack in attacks.items():
        asked = (key for key in ("epsilon_curve", "median_distance", "compare") if getattr(attack, key, None))
        if (key := next(asked, None)) is not None:
            raise SettingError(f"`attack.{key}` is for a single attack: in a suite, {name} has no number of its own")
    same = {"epsilon": budget(base, defenses), **base.threat()}
    for name, attack in others:
        mine = {"epsilon": budget(attack, defenses), **attack.threat()}
        for key in same | mine:
            if mine.get(key) != same.get(key):
                raise SettingError(
                    f"`attack.{key}` must be the same for all attacks of a suite: {first} has {same.get(key)!r}, "
                    f"{name} {mine.get(key)!r}"
                )


def budget(attack: EvasionAttack, defenses: Sequence[Defense]) -> float:
    """`attack.epsilon` where it is set, else the budget of a defence against evasion, else the attack's default."""
    asked = [float(d.epsilon) for d in defenses if d.risk == "evasion" and hasattr(d, "epsilon")]  # type: ignore[attr-defined]
    return asked[0] if asked and attack.epsilon is None else attack.budget


def assess(victim: Victim, attack: EvasionAttack, splits: DataSplits) -> EvasionEvidence:
    """Attack every test record, evaluate the result in float32, and look for what the attack missed."""
    return _checked(victim, attack, splits, _more(victim, attack, splits, attempt(victim, attack, splits)))


def attempt(victim: Victim, attack: EvasionAttack, splits: DataSplits) -> EvasionEvidence:
    """Attack every test record and evaluate the result in float32."""
    records = splits.test_records
    attack = attack.changed(epsilon=budget(attack, splits.defenses)).bound(victim, splits)
    mask = attack.changeable(splits.data)
    stream = splits.attack_stream("evasion")
    model = victim.model
    with (
        splits.runtime.reporter.stage(f"evasion of {victim.name}", len(records), "record") as stage,
        _seeded(victim, records, stream / "answers"),
    ):
        clean = attack.judged(victim, records).argmax(dim=1) == records.y
        robust, distance = Attacked(model, records, mask, stream, clean).by(attack, stage=stage)
    return EvasionEvidence(
        ids=records.ids,
        clean_correct=clean,
        robust_correct=robust,
        distance=distance,
        manifest={
            **_conditions(attack, distance),
            **attack.manifest(device_of(model)),
            **({"queries_per_record": attack.queried / len(records)} if attack.queried else {}),
        },
    )


def _more(victim: Victim, attack: EvasionAttack, splits: DataSplits, evidence: EvasionEvidence) -> EvasionEvidence:
    """With what the attack was asked for beyond its budget: other budgets, the median distance, no constraints."""
    attack = attack.changed(epsilon=evidence.manifest["epsilon"]).bound(victim, splits)
    free = attack.unconstrained()
    if not (attack.epsilon_curve or attack.median_distance or free):
        return evidence
    stream, clean, robust = splits.attack_stream("evasion"), evidence.clean_correct, evidence.robust_correct

    def by(one: EvasionAttack) -> Attacked:
        mask = one.changeable(splits.data)
        return Attacked(victim.model, splits.test_records, mask, stream, clean, lambda a: a.bound(victim, splits))

    with _seeded(victim, splits.test_records, stream / "answers"):
        attacked = by(attack)
        distances = attacked.distances(attack) if attack.epsilon_curve or attack.median_distance else None
        return evidence.changed(
            curve=attacked.curve(attack, robust, distances),
            median_distance=attacked.median_distance(attack, robust, distances) if attack.median_distance else None,
            unconstrained_correct=None if free is None else by(free).by(free)[0],
        )


def cascade(
    victim: Victim,
    attacks: Mapping[str, EvasionAttack],
    splits: DataSplits,
    attempted: Callable[[str, EvasionAttack, DataSplits], Mapping[str, np.ndarray]],
) -> EvasionEvidence:
    """A suite's attacks one after the other: each gets the records that withstood those before it.

    Args:
        victim: who is attacked.
        attacks: by name, in order; all with one budget and norm.
        splits: of the assessment.
        attempted: the arrays of `attempt`, which are kept for the next time.
    """
    records = splits.test_records
    first = next(iter(attacks.values()))
    with _seeded(victim, records, splits.attack_stream("evasion", "answers")):
        clean = first.judged(victim, records).argmax(dim=1) == records.y
    robust, distance = clean.clone(), torch.zeros(len(records))
    after: dict[str, Tensor] = {}
    for name, attack in attacks.items():
        left = robust.nonzero().squeeze(1)
        if len(left):
            part = splits.changed(data=dataclasses.replace(splits.data, test=records.take(left)))
            found = attempted(name, attack, part)
            robust[left] = torch.from_numpy(found["robust_correct"]).to(robust.dtype)
            distance[left] = torch.from_numpy(found["distance"]).to(distance.dtype)
        after[name] = robust.clone()
    turned = {name: int(n) for name, n in zip(after, _turned(clean, [*after.values()]), strict=True)}
    decided = max(turned, key=lambda name: turned[name])
    attack = attacks[decided].changed(epsilon=budget(attacks[decided], splits.defenses))
    evidence = EvasionEvidence(
        ids=records.ids,
        clean_correct=clean,
        robust_correct=robust,
        distance=distance,
        after=after,
        manifest={
            **_conditions(attack, distance),
            "suite": {
                "attacks": list(attacks),
                "decided": {"robust_accuracy": decided},
                "turned": turned,
                "settings": {name: one.settings() for name, one in attacks.items()},
            },
        },
    )
    return _checked(victim, attack, splits, evidence)


def _seeded(victim: Victim, records: Records, stream: Stream) -> AbstractContextManager[None]:
    """For a model whose answers are random: it draws from the run's seed. An attack has a generator of its own."""
    device = device_of(victim.model)
    with (stream / "probe").seed_global(device):
        random = varies(victim.model, records.take(torch.arange(min(len(records), 32))))
    return stream.seed_global(device) if random else nullcontext()


def _conditions(attack: EvasionAttack, distance: Tensor) -> dict[str, Any]:
    """Under which a robust accuracy holds, and how far the changes went, (n,)."""
    return {
        **attack.conditions(),
        "records": len(distance),
        "largest_change": distance.max().item(),
    }


def _turned(clean: Tensor, after: Sequence[Tensor]) -> list[int]:
    """How many records each attack of a suite turned that those before it had not."""
    left = [int(one.sum()) for one in (clean, *after)]
    return [before - now for before, now in pairwise(left)]


def _checked(victim: Victim, attack: EvasionAttack, splits: DataSplits, evidence: EvasionEvidence) -> EvasionEvidence:
    """With what other searches find on a sample of the records that withstood."""
    attack = attack.changed(epsilon=evidence.manifest["epsilon"]).bound(victim, splits)
    mask = attack.changeable(splits.data)
    with _seeded(victim, splits.test_records, splits.attack_stream("evasion", "check", "answers")):
        checked = check_search(victim, attack, splits, mask, evidence.robust_correct)
    return evidence.changed(
        manifest={**evidence.manifest, **checked.manifest},
        warnings=(*checked.warnings, *_impossible(attack, splits.data, mask)),
        invalid=checked.invalid,
    )


def _impossible(attack: EvasionAttack, data: AmuletDataset, mask: Tensor | None) -> tuple[str, ...]:
    """Said once of a run: can the attack turn a category into a mixture of several?"""
    nothing = attack.budget == 0 or attack.keeps_possible
    if nothing or not any(mask is None or bool(mask[start:end].any()) for start, end in data.groups):
        return ()
    warning = (
        f"evasion: changes of one-hot columns make records of {data.name} that cannot exist: robust_accuracy is that "
        "against an adversary who may hand them in. attack.immutable=[one_hot] leaves these columns as they are"
    )
    return (warning,)
