"""How distribution inference is assessed: on populations of the victim's models, by populations of the adversary's."""

from collections.abc import Sequence

from amulet.datasets.base import AmuletDataset
from amulet.distribution_inference.attacks import DistributionAttack, DistributionInference
from amulet.distribution_inference.metrics import DistributionEvidence, measure
from amulet.distribution_inference.populations import Pool
from amulet.training.defense import Defense
from amulet.training.victim import Scene, Victim

__all__ = ["assess", "check", "check_scene", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> DistributionAttack:
    """The KL test on the first sensitive attribute."""
    return DistributionInference()


def check(attack: DistributionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: `Refused` if it has no sensitive attribute or cannot give the ratios; `SettingError` if it lacks
    the attribute that is asked for."""
    if data is not None:
        attribute = attack.chosen(data.train)
        # What even all training records cannot give, a side's part of them cannot.
        attack.planned((Pool(data.train, attribute, attack.value),), data.train.y)


def check_scene(attack: DistributionAttack, scene: Scene) -> None:
    """`Refused` if the two sides' own records cannot give the ratios."""
    attack.arranged(scene.victim_records, scene.adversary_records, scene.drawing("distribution_inference"))


def assess(victim: Victim, attack: DistributionAttack, scene: Scene) -> DistributionEvidence:
    """Tell models apart that the victim's recipe makes of the victim's records.

    The model that the other risks are assessed on takes no part: no single model tells how well ratios are told apart.
    """
    shadow = victim.recipe if attack.shadow == "same_as_victim" else scene.plain_recipe
    return attack.infer(
        victim.recipe,
        shadow,
        victim.records,
        scene.adversary_records,
        stream=scene.drawing("distribution_inference"),
        name=victim.name,
    )
