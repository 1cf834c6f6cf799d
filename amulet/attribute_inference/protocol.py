"""How attribute inference is assessed: learned on the adversary's records, evaluated on test and training records."""

from collections.abc import Sequence

import torch

from amulet.attribute_inference.attacks import Asked, AttributeAttack, AttributeInference
from amulet.attribute_inference.metrics import AttributeEvidence, measure
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.variables import categorical
from amulet.training.defense import Defense
from amulet.training.removal import removal_in
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> AttributeAttack:
    """The MLP on the victim's probabilities, for all sensitive attributes."""
    return AttributeInference()


def check(attack: AttributeAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: `IncompatibleError` without sensitive attributes, `SettingError` if a requested one is missing."""
    if data is not None:
        attack.check(data)
        attack.chosen(data.attributes, categorical(data))


def assess(victim: Victim, attack: AttributeAttack, splits: DataSplits) -> AttributeEvidence:
    """Query the victim, and infer the attributes of the test split and of the records that it was trained on."""
    asked = Asked(
        answer=victim.logits,
        adversary=splits.adversary_records,
        test=splits.test_records,
        training=_trained_on(victim),
        variables=categorical(splits.data),
        stream=splits.attack_stream("attribute_inference"),
        runtime=splits.runtime,
        victim=victim.name,
    )
    return attack.infer(asked)


def _trained_on(victim: Victim) -> Records | None:
    """Without those that a defence took out; None where they are unknown."""
    if victim.pretrained is not None:
        return None
    removal = removal_in(victim.trained.arrays)
    if removal is None:
        return victim.records
    removed = torch.from_numpy(removal.ids[removal.removed])
    return victim.records.take(~torch.isin(victim.records.ids, removed.to(victim.records.ids.device)))
