"""How attribute inference is assessed: learned on the adversary's records, judged on the test split."""

from collections.abc import Sequence

from amulet.attribute_inference.attacks import AttributeAttack, AttributeInference
from amulet.attribute_inference.metrics import AttributeEvidence, measure
from amulet.datasets.base import AmuletDataset
from amulet.training.defense import Defense
from amulet.training.victim import Scene, Victim

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> AttributeAttack:
    """The MLP on the victim's probabilities, for all sensitive attributes."""
    return AttributeInference()


def check(attack: AttributeAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: `Refused` if it has no sensitive attribute, `SettingError` if it lacks one that is asked for."""
    if data is not None:
        attack.chosen(data.attributes)


def assess(victim: Victim, attack: AttributeAttack, scene: Scene) -> AttributeEvidence:
    """Ask the victim about the adversary's records and the test split, and guess the attributes of the latter."""
    adversary, test = scene.adversary_records, scene.test_records
    return attack.infer(
        adversary,
        victim.logits(adversary),
        test,
        victim.logits(test),
        stream=scene.drawing("attribute_inference"),
        runtime=scene.runtime,
        name=victim.name,
    )
