"""What is known about a data set before it is read: its files, their sources and licence."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file as its official source serves it."""

    path: str
    """Its path relative to the data set's folder; an archive is unpacked there and removed."""
    urls: tuple[str, ...]
    """The official address, then mirrors, in the order in which they are tried."""
    checksum: str | None
    """`sha256:...` or `md5:...` of the bytes as they are served; None if the source publishes none."""
    size: int | None = None
    """Bytes."""
    archive: bool = False
    """A tar or zip file to unpack."""
    provides: tuple[str, ...] = ()
    """Names of `DatasetInfo.files` that an archive contains; if empty, all that no other download contains."""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One data set: what it is, its files with their checksums, and how to get them."""

    name: str
    title: str
    licence: str
    source: str
    size: str
    """The size of the download, as text."""
    embedded: bool = False
    """Is it part of the package?"""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """The files its loader reads, relative to the data set's folder, each with the `sha256:` or `md5:` checksum of its
    content (decompressed, for a `.gz` file), or an empty text where there is no official one. A name that ends in `/`
    is a folder that must not be empty."""
    downloads: tuple[Download, ...] = ()
    """Empty: there is nothing to download."""
    system: tuple[str, ...] = ()
    """Folders where a package of the operating system installs the files, without the folders of `files`."""
    by_hand: str = ""
    """Where to get the files if no download works, and what to do with them; one sentence."""
