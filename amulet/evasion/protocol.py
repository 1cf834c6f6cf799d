"""How evasion is assessed: each victim is attacked on the test split, with its own gradients."""

from collections.abc import Sequence

from torch import Tensor

from amulet.datasets.base import AmuletDataset
from amulet.evasion.attacks import EvasionAttack, EvasionPGD
from amulet.evasion.budgets import Attacked
from amulet.evasion.checks import check_search
from amulet.evasion.metrics import EvasionEvidence, measure
from amulet.models.inspect import device_of
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> EvasionAttack:
    """PGD with the budget of the defence under assessment, if it has one."""
    return EvasionPGD()


def check(attack: EvasionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any model can be attacked. With `data`: does the attack work on it, do the immutable columns exist?"""
    if data is not None:
        attack.check(data)
        attack.changeable(data)


def budget(attack: EvasionAttack, defenses: Sequence[Defense]) -> float:
    """`attack.epsilon` where it is set, else the budget of a defence against evasion, else the attack's default."""
    asked = [float(d.epsilon) for d in defenses if d.risk == "evasion" and hasattr(d, "epsilon")]  # type: ignore[attr-defined]
    return asked[0] if asked and attack.epsilon is None else attack.budget


def assess(victim: Victim, attack: EvasionAttack, splits: DataSplits) -> EvasionEvidence:
    """Attack every test record and evaluate the result in float32."""
    records = splits.test_records
    epsilon = budget(attack, splits.defenses)
    attack = attack.changed(epsilon=epsilon).on(splits.data)
    mask = attack.changeable(splits.data)
    stream = splits.attack_stream("evasion")
    model = victim.model
    clean = victim.logits(records).argmax(dim=1) == records.y
    attacked = Attacked(model, records, mask, stream, clean)
    with splits.runtime.reporter.stage(f"evasion of {victim.name}", len(records), "record") as stage:
        robust, distance = attacked.by(attack, stage=stage)
    queried = attack.queried
    asked = bool(attack.epsilon_curve) or attack.median_distance
    distances = attacked.distances(attack) if asked else None
    free = attack.unconstrained()
    unbound = Attacked(model, records, None if free is None else free.changeable(splits.data), stream, clean)
    checked = check_search(victim, attack, splits, mask, robust)
    return EvasionEvidence(
        ids=records.ids,
        clean_correct=clean,
        robust_correct=robust,
        distance=distance,
        curve=attacked.curve(attack, robust, distances),
        median_distance=attacked.median_distance(attack, robust, distances) if attack.median_distance else None,
        unconstrained_correct=None if free is None else unbound.by(free)[0],
        manifest={
            "epsilon": epsilon,
            "norm": attack.norm,
            **({"immutable": list(attack.immutable)} if attack.immutable else {}),
            "records": len(records),
            "largest_change": distance.max().item(),
            **attack.manifest(device_of(model)),
            **({"queries_per_record": queried / len(records)} if queried else {}),
            **checked.manifest,
        },
        warnings=(*checked.warnings, *_impossible(attack, splits.data, mask)),
        invalid=checked.invalid,
    )


def _impossible(attack: EvasionAttack, data: AmuletDataset, mask: Tensor | None) -> tuple[str, ...]:
    """Said once of a run: can the attack turn a category into a mixture of several?"""
    if (
        attack.budget == 0
        or attack.keeps_possible
        or not any(mask is None or bool(mask[start:end].any()) for start, end in data.groups)
    ):
        return ()
    warning = (
        f"evasion: changes of one-hot columns make records of {data.name} that cannot exist: robust_accuracy is that "
        "against an adversary who may hand them in. attack.immutable=[one_hot] leaves these columns as they are"
    )
    return (warning,)
