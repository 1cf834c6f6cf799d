"""What is known of a data set before it is read: its files, where they come from, under which licence."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file as its official place serves it."""

    path: str
    """Where it goes, relative to the data set's folder; an archive is unpacked in that place's folder and removed."""
    urls: tuple[str, ...]
    """The official address, then mirrors, in the order in which they are tried."""
    checksum: str | None
    """`sha256:...` or `md5:...` of the bytes as they are served; None where the source publishes none."""
    size: int | None = None
    """Bytes."""
    archive: bool = False
    """A tar or zip file to unpack."""
    provides: tuple[str, ...] = ()
    """Names of `DatasetInfo.files` that an archive brings; if empty, all that no other download brings."""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One data set: what it is, its files with their checksums, and how it gets here."""

    name: str
    title: str
    licence: str
    source: str
    size: str
    """Of the download, for people to read."""
    embedded: bool = False
    """Does it ship with the package?"""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its loader reads, relative to the data set's folder, each with the `sha256:` or `md5:` checksum of its
    content (decompressed, for a `.gz` file), or an empty text where there is no official one. A name that ends in `/`
    is a folder that must hold something."""
    downloads: tuple[Download, ...] = ()
    """Empty: nothing that can be fetched."""
    system: tuple[str, ...] = ()
    """Folders where an operating system's package puts the files, without the folders of `files`."""
    by_hand: str = ""
    """Where a person gets the files when no download works, and what to do with them; one sentence."""
