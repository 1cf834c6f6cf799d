"""How calibration is assessed: the victim's answers on the test split, on which nobody trains."""

from collections.abc import Sequence

from amulet.datasets import AmuletDataset
from amulet.training import DataSplits, Defense, Victim
from amulet_calibration.attacks import Confidence
from amulet_calibration.metrics import CalibrationEvidence, measure

__all__ = ["assess", "check", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> Confidence:
    """The victim's own confidence, in 15 bins."""
    return Confidence()


def check(attack: Confidence, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any model that gives probabilities can be looked at."""


def assess(victim: Victim, attack: Confidence, splits: DataSplits) -> CalibrationEvidence:
    """Look at the victim's answers; nothing is trained or changed."""
    records = splits.test_records
    return attack.look(victim.logits(records), records)
