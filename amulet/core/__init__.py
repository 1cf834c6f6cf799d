"""What everything else stands on: errors, random streams, components, progress, evidence."""

from amulet.core.component import Attack, Component, Factory
from amulet.core.errors import AmuletError, DataError, Diverged, Refused, SettingError
from amulet.core.evidence import Evidence, Measurement, clopper_pearson
from amulet.core.reporting import Reporter, Stage
from amulet.core.stream import Stream

__all__ = [
    "AmuletError",
    "Attack",
    "Component",
    "DataError",
    "Diverged",
    "Evidence",
    "Factory",
    "Measurement",
    "Refused",
    "Reporter",
    "SettingError",
    "Stage",
    "Stream",
    "clopper_pearson",
]
