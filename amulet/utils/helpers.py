"""Set up an end-to-end pipeline in a few lines (paper, Section 4.2)."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

import amulet.datasets
import amulet.models
from amulet.core.arguments import checked
from amulet.core.component import Factory
from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.datasets import AmuletDataset, Records
from amulet.models import predict
from amulet.training.loop import train
from amulet.unauth_model_ownership.metrics import fidelity


def load_data(name: str, **options: Any) -> AmuletDataset:
    """A data set by name: `load_data("census")`; `options` are passed to its loader `amulet.datasets.load_<name>`."""
    loader = getattr(amulet.datasets, f"load_{name}", None)
    if loader is None:
        known = [n.removeprefix("load_") for n in amulet.datasets.__all__ if n.startswith("load_")]
        raise SettingError(f"`name` must be one of {', '.join(known)}; got {name}")
    return loader(**options)


def initialize_model(name: str, data: AmuletDataset, seed: int = 0, **options: Any) -> nn.Module:
    """A model with fresh weights that fits the data: `initialize_model("LinearNet", data, hidden=(64, 64))`."""
    known = {n.lower(): n for n in amulet.models.__all__ if isinstance(getattr(amulet.models, n), type)}
    if name.lower() not in known:
        raise SettingError(f"`name` must be one of {', '.join(known.values())}; got {name}")
    factory = Factory(f"amulet.models.{known[name.lower()]}", **options)
    with (Stream(seed) / "weights").seed_global():
        return factory.build(input_shape=data.shape, num_classes=data.num_classes)


@checked
def train_classifier(
    model: nn.Module,
    train_loader: "DataLoader[Any] | Records",
    optimizer: Optimizer | None = None,
    device: str | torch.device = "cpu",
    epochs: int = 20,
    seed: int = 0,
) -> nn.Module:
    """Train a model in place with cross-entropy and return it in eval mode; Adam at 1e-3 if no optimizer is given."""
    size = train_loader.batch_size if isinstance(train_loader, DataLoader) else 256
    train(
        model,
        Records.from_loader(train_loader),
        optimizer=optimizer or Factory("torch.optim.Adam", lr=1e-3),
        epochs=epochs,
        batch_size=size or 256,
        stream=Stream(seed) / "by hand",
        device=device,
    )
    return model.eval()


@checked
def get_accuracy(model: nn.Module, loader: "DataLoader[Any] | Records", device: str | torch.device = "cpu") -> float:
    """Share of records that the model classifies correctly, in [0, 1]."""
    records = Records.from_loader(loader)
    return (predict(model.to(device), records).argmax(dim=1) == records.y.cpu()).double().mean().item()


@checked
def get_fidelity(
    model_1: nn.Module,
    model_2: nn.Module,
    loader: "DataLoader[Any] | Records",
    device: str | torch.device = "cpu",
) -> float:
    """Share of records that two models give the same class, in [0, 1]."""
    records = Records.from_loader(loader)
    first, second = (predict(model.to(device), records).argmax(dim=1) for model in (model_1, model_2))
    return fidelity(first, second)
