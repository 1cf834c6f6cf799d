"""An optimizer over another model's weights would train nothing: every call of the paper's shape refuses it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, TensorDataset

from amulet.core.errors import SettingError
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.membership_inference.defenses import DPSGD
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet.unauth_model_ownership.defenses import WatermarkNN
from amulet.utils import train_classifier

LOSS = nn.CrossEntropyLoss()
X = torch.rand(64, 4, generator=torch.Generator().manual_seed(0))
LOADER: DataLoader[Any] = DataLoader(TensorDataset(X, (X.sum(1) > 2).long()), batch_size=16)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


CALLS: dict[str, Callable[[nn.Module, Optimizer], object]] = {
    "train_classifier": lambda model, by: train_classifier(model, LOADER, by, epochs=1),
    "adversarial training": lambda model, by: AdversarialTrainingPGD(model, LOSS, by, LOADER, "cpu", 1).train_robust(),
    "DP-SGD": lambda model, by: DPSGD(model, LOSS, by, LOADER, "cpu", 1, epsilon=8.0).train_private(),
    "watermark": lambda model, by: WatermarkNN(model, LOSS, by, LOADER, "cpu", 1).watermark(),
    "extraction": lambda model, by: ModelExtraction(network(), model, by, LOSS, LOADER, "cpu", 1).attack(),
}


@pytest.mark.parametrize("call", list(CALLS))
def test_an_optimizer_of_other_weights_is_refused(call: str) -> None:
    model, other = network(), network()
    before = copy.deepcopy(model.state_dict())
    for foreign in (SGD(other.parameters(), 0.1), SGD([*model.parameters(), *other.parameters()], 0.1)):
        with pytest.raises(SettingError, match="`optimizer` must be over parameters of the model that is trained"):
            CALLS[call](model, foreign)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("call", list(CALLS))
def test_its_own_are_fine(call: str) -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    CALLS[call](model, SGD(model.parameters(), 0.1))
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
