"""The foundation of the library: errors, random streams, components, progress, evidence."""

from typing import TYPE_CHECKING

from amulet.core.access import Access
from amulet.core.component import Attack, Component, Factory
from amulet.core.errors import AmuletError, DataError, Diverged, IncompatibleError, SettingError
from amulet.core.lazy import attach
from amulet.core.reporting import Reporter, Stage

if TYPE_CHECKING:
    from amulet.core.evidence import Evidence, Measurement
    from amulet.core.intervals import clopper_pearson
    from amulet.core.stream import Stream

__getattr__, __dir__ = attach(  # these need torch
    __name__,
    {"Evidence": "evidence", "Measurement": "evidence", "clopper_pearson": "intervals", "Stream": "stream"},
)

__all__ = [
    "Access",
    "AmuletError",
    "Attack",
    "Component",
    "DataError",
    "Diverged",
    "Evidence",
    "Factory",
    "IncompatibleError",
    "Measurement",
    "Reporter",
    "SettingError",
    "Stage",
    "Stream",
    "clopper_pearson",
]
