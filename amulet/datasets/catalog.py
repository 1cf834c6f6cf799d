"""What data sets there are, where they come from, and whether they are here."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from amulet.core.errors import DataError
from amulet.datasets.census import LICENCE, SHA256, packaged

Presence = Literal["present", "absent", "corrupt"]


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One data set: what it is, its files with their SHA-256, and whether it ships with the package."""

    name: str
    title: str
    licence: str
    source: str
    size: str
    embedded: bool
    files: Mapping[str, str] = field(default_factory=dict[str, str])

    def status(self) -> Presence:
        """Read and check every file."""
        try:
            good = all(hashlib.sha256(packaged(name)).hexdigest() == sha for name, sha in self.files.items())
        except DataError:
            return "corrupt"
        return "present" if good else "corrupt"


CATALOG: dict[str, DatasetInfo] = {
    "census": DatasetInfo(
        name="census",
        title="UCI Adult (1994 US census income): 46,447 records, 42 columns",
        licence=LICENCE,
        source="Becker and Kohavi, 1996, doi 10.24432/C5XW20",
        size="444 KB",
        embedded=True,
        files=SHA256,
    ),
}
