"""How evasion is assessed: each victim is attacked on the test split, with its own gradients."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from amulet.datasets.base import AmuletDataset
from amulet.evasion.attacks import EvasionAttack, EvasionPGD
from amulet.evasion.checks import check_search
from amulet.evasion.metrics import EvasionEvidence, measure
from amulet.models.inspect import device_of, predict
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "attempt", "cascade", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> EvasionAttack:
    """PGD with the budget of the defence under assessment, if it has one."""
    return EvasionPGD()


def check(attack: EvasionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any model can be attacked. With `data`: does the attack work on it, do the immutable columns exist?"""
    if data is not None:
        attack.changeable(data)
        attack.check(data)


def budget(attack: EvasionAttack, defenses: Sequence[Defense]) -> float:
    """`attack.epsilon` where it is set, else the budget of a defence against evasion, else the attack's default."""
    asked = [float(d.epsilon) for d in defenses if d.risk == "evasion" and hasattr(d, "epsilon")]  # type: ignore[attr-defined]
    return asked[0] if asked and attack.epsilon is None else attack.budget


def assess(victim: Victim, attack: EvasionAttack, splits: DataSplits) -> EvasionEvidence:
    """Attack every test record, evaluate the result in float32, and look for what the attack missed."""
    return _checked(victim, attack, splits, attempt(victim, attack, splits))


def attempt(victim: Victim, attack: EvasionAttack, splits: DataSplits) -> EvasionEvidence:
    """Attack every test record and evaluate the result in float32."""
    records = splits.test_records
    attack = attack.changed(epsilon=budget(attack, splits.defenses)).bound(victim, splits)
    mask = attack.changeable(splits.data)
    stream = splits.attack_stream("evasion")
    model = victim.model
    asked = attack.asked(model)
    with (
        splits.runtime.reporter.stage(f"evasion of {victim.name}", len(records), "record") as stage,
        (stream / "answers").seed_global(device_of(model)),  # of a model whose answers are random
    ):
        clean = attack.judged(victim, records).argmax(dim=1) == records.y
        robust, distance = torch.empty_like(clean), torch.empty(len(records))
        for batch, x in attack.batches(model, records, stream, mask=mask, stage=stage):
            origin = records.inputs(batch).to(x.device)
            distance[batch] = attack.distance(x, origin).cpu()
            # Asked so that a NaN is outside too.
            if not (x.min() >= 0 and x.max() <= 1 and distance[batch].max() <= attack.budget * (1 + 1e-5) + 1e-6):
                raise RuntimeError(
                    f"{attack!r} left its budget: inputs in [{x.min()}, {x.max()}], largest {attack.norm} change "
                    f"{distance[batch].max()}"
                )
            if mask is not None and bool(((x != origin) & (mask.to(x.device) == 0)).any()):
                raise RuntimeError(f"{attack!r} changed columns that are immutable")
            robust[batch] = predict(asked, x).argmax(dim=1) == records.y[batch]
    if attack.labels is True:  # the input itself is within the budget: a wrong answer stays wrong
        robust &= clean
    return EvasionEvidence(
        ids=records.ids,
        clean_correct=clean,
        robust_correct=robust,
        distance=distance,
        manifest={
            "epsilon": attack.budget,
            "norm": attack.norm,
            **({"immutable": list(attack.immutable)} if attack.immutable else {}),
            "records": len(records),
            "largest_change": distance.max().item(),
            **attack.manifest(device_of(model)),
        },
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
    clean = victim.logits(records).argmax(dim=1) == records.y
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
            "epsilon": attack.budget,
            "norm": attack.norm,
            **({"immutable": list(attack.immutable)} if attack.immutable else {}),
            "records": len(records),
            "largest_change": distance.max().item() if len(distance) else 0.0,
            "suite": {
                "attacks": list(attacks),
                "decided": {"robust_accuracy": decided},
                "turned": turned,
                "settings": {name: one.settings() for name, one in attacks.items()},
            },
        },
    )
    return _checked(victim, attack, splits, evidence)


def _turned(clean: Tensor, after: Sequence[Tensor]) -> list[int]:
    """How many records each attack of a suite turned that those before it had not."""
    left = [int(one.sum()) for one in (clean, *after)]
    return [before - now for before, now in pairwise(left)]


def _checked(victim: Victim, attack: EvasionAttack, splits: DataSplits, evidence: EvasionEvidence) -> EvasionEvidence:
    """With what other searches find on a sample of the records that withstood."""
    attack = attack.changed(epsilon=evidence.manifest["epsilon"]).bound(victim, splits)
    mask = attack.changeable(splits.data)
    with splits.attack_stream("evasion", "check", "answers").seed_global(device_of(victim.model)):
        checked = check_search(victim, attack, splits, mask, evidence.robust_correct)
    return evidence.changed(
        manifest={**evidence.manifest, **checked.manifest},
        warnings=(*checked.warnings, *_impossible(attack, splits.data, mask)),
        invalid=checked.invalid,
    )


def _impossible(attack: EvasionAttack, data: AmuletDataset, mask: Tensor | None) -> tuple[str, ...]:
    """Said once of a run: can the attack turn a category into a mixture of several?"""
    if attack.budget == 0 or not any(mask is None or bool(mask[start:end].any()) for start, end in data.groups):
        return ()
    warning = (
        f"evasion: changes of one-hot columns make records of {data.name} that cannot exist: robust_accuracy is that "
        "against an adversary who may hand them in. attack.immutable=[one_hot] leaves these columns as they are"
    )
    return (warning,)
