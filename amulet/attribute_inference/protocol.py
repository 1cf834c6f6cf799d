"""How attribute inference is assessed: learned on the adversary's records, evaluated on the test split."""

from collections.abc import Sequence

from amulet.attribute_inference.attacks import AttributeAttack, AttributeInference
from amulet.attribute_inference.metrics import AttributeEvidence, measure
from amulet.datasets.base import AmuletDataset
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> AttributeAttack:
    """The MLP on the victim's probabilities, for all sensitive attributes."""
    return AttributeInference()


def check(attack: AttributeAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: `IncompatibleError` without sensitive attributes, `SettingError` if a requested one is missing."""
    if data is not None:
        attack.chosen(data.attributes)
        attack.check(data)


def assess(victim: Victim, attack: AttributeAttack, splits: DataSplits) -> AttributeEvidence:
    """Query the victim with the adversary's records and the test split, and infer the attributes of the latter."""
    adversary, test = splits.adversary_records, splits.test_records
    return attack.infer(
        adversary,
        victim.logits(adversary),
        test,
        victim.logits(test),
        stream=splits.attack_stream("attribute_inference"),
        runtime=splits.runtime,
        name=victim.name,
    )
