"""How discriminatory behavior is assessed: the victim's answers on the test split, group by group."""

from collections.abc import Sequence

from amulet.core.errors import SettingError, needs_attributes
from amulet.datasets.base import AmuletDataset
from amulet.discriminatory_behavior.attacks import DiscriminatoryBehavior
from amulet.discriminatory_behavior.metrics import BehaviorEvidence, favourable, intersections, measure
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> DiscriminatoryBehavior:
    """All sensitive attributes, each separately."""
    return DiscriminatoryBehavior()


def check(attack: DiscriminatoryBehavior, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Are there groups to compare, and does the favourable class exist?"""
    if data is None:
        return
    if not data.attributes:
        raise needs_attributes("discriminatory behavior")
    if attack.positive is not None and attack.positive >= data.num_classes:
        raise SettingError(f"`attack.positive` must be a class below {data.num_classes}, got {attack.positive}")


def assess(victim: Victim, attack: DiscriminatoryBehavior, splits: DataSplits) -> BehaviorEvidence:
    """Evaluate the victim's answers; nothing is trained or changed."""
    records = splits.test_records
    logits, stream = victim.logits(records), splits.attack_stream(attack.risk)
    evidence = attack.look(
        logits.argmax(dim=1),
        records,
        splits.data.num_classes,
        stream,
        logits.double().softmax(dim=1),
        comparable=splits.data.answers is None,
    )
    counts = {
        name: {str(value): number for value, number in enumerate(records.attribute(name).bincount().tolist()) if number}
        for name in records.attributes
    }
    manifest = {"records": len(records), "groups": counts, "favourable": favourable(evidence)}
    return evidence.changed(manifest=manifest | {"intersections": intersections(evidence)})
