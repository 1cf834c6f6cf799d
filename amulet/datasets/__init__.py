"""Data sets as in-memory tensors, the sources of their files, and how they are split."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach
from amulet.datasets.catalog import CATALOG
from amulet.datasets.info import DatasetInfo, Download

if TYPE_CHECKING:
    from amulet.datasets.base import AmuletDataset, Modality, Scale
    from amulet.datasets.celeba import load_celeba
    from amulet.datasets.census import load_census
    from amulet.datasets.cifar10 import load_cifar10
    from amulet.datasets.custom import load_custom, load_predictions
    from amulet.datasets.fmnist import load_fmnist
    from amulet.datasets.lfw import load_lfw
    from amulet.datasets.records import Records
    from amulet.datasets.split import stratified_split

__getattr__, __dir__ = attach(  # these need torch
    __name__,
    {
        "AmuletDataset": "base",
        "Modality": "base",
        "Records": "records",
        "Scale": "base",
        "load_celeba": "celeba",
        "load_census": "census",
        "load_cifar10": "cifar10",
        "load_custom": "custom",
        "load_fmnist": "fmnist",
        "load_lfw": "lfw",
        "load_predictions": "custom",
        "stratified_split": "split",
    },
)

__all__ = [
    "CATALOG",
    "AmuletDataset",
    "DatasetInfo",
    "Download",
    "Modality",
    "Records",
    "Scale",
    "load_celeba",
    "load_census",
    "load_cifar10",
    "load_custom",
    "load_fmnist",
    "load_lfw",
    "load_predictions",
    "stratified_split",
]
