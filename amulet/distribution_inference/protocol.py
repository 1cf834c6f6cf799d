"""How distribution inference is assessed: on populations of the victim's and of the adversary's models."""

from collections.abc import Sequence

from amulet.datasets.base import AmuletDataset
from amulet.distribution_inference.attacks import DistributionInference, PopulationAttack
from amulet.distribution_inference.metrics import DistributionEvidence, measure
from amulet.distribution_inference.populations import Pool
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "check_splits", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> PopulationAttack:
    """The KL test on the first sensitive attribute."""
    return DistributionInference()


def check(attack: PopulationAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: `IncompatibleError` if it has no sensitive attribute or cannot provide the ratios; `SettingError` if
    it lacks the requested attribute."""
    if data is not None:
        attribute = attack.chosen(data.train)
        # What all training records cannot provide, a part of them cannot either.
        attack.planned((Pool(data.train, attribute, attack.value),), data.train.y)
        attack.check(data)


def check_splits(attack: PopulationAttack, splits: DataSplits) -> None:
    """`IncompatibleError` if the records of the two sides cannot provide the ratios."""
    attack.arranged(splits.victim_records, splits.adversary_records, splits.attack_stream("distribution_inference"))


def assess(victim: Victim, attack: PopulationAttack, splits: DataSplits) -> DistributionEvidence:
    """Distinguish models that the victim's recipe makes from the victim's records.

    The model on which the other risks are assessed is not used: one model cannot show how well ratios can be inferred.
    """
    shadow = victim.recipe if attack.shadow == "same_as_victim" else splits.plain_recipe
    return attack.infer(
        victim.recipe,
        shadow,
        victim.records,
        splits.adversary_records,
        stream=splits.attack_stream("distribution_inference"),
        name=victim.name,
    )
