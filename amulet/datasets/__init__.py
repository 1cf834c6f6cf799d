"""Data sets as in-memory tensors, and how they are cut into parts."""

from amulet.datasets.base import AmuletDataset, Modality
from amulet.datasets.catalog import CATALOG, DatasetInfo
from amulet.datasets.census import load_census
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split

__all__ = [
    "CATALOG",
    "AmuletDataset",
    "DatasetInfo",
    "Modality",
    "Records",
    "load_census",
    "stratified_split",
]
