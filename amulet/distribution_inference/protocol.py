"""How distribution inference is assessed: on populations of the victim's models, by populations of the adversary's."""

from collections.abc import Sequence

from amulet.datasets.base import AmuletDataset
from amulet.distribution_inference.attacks import DistributionAttack, DistributionInference
from amulet.distribution_inference.metrics import DistributionEvidence, measure
from amulet.distribution_inference.populations import Pool
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "check_splits", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> DistributionAttack:
    """The KL test on the first sensitive attribute."""
    return DistributionInference()


def check(attack: DistributionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: `IncompatibleError` if it has no sensitive attribute or cannot give the ratios; `SettingError` if it
    lacks the attribute that is asked for."""
    if data is not None:
        attribute = attack.chosen(data.train)
        # What even all training records cannot give, a side's part of them cannot.
        attack.planned((Pool(data.train, attribute, attack.value),), data.train.y)
        attack.check(data)


def check_splits(attack: DistributionAttack, splits: DataSplits) -> None:
    """`IncompatibleError` if the two sides' own records cannot give the ratios."""
    attack.arranged(splits.victim_records, splits.adversary_records, splits.attack_stream("distribution_inference"))


def assess(victim: Victim, attack: DistributionAttack, splits: DataSplits) -> DistributionEvidence:
    """Tell models apart that the victim's recipe makes of the victim's records.

    The model that the other risks are assessed on takes no part: no single model tells how well ratios are told apart.
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
