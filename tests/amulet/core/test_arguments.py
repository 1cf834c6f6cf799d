"""Objects that are passed by position in another order, such as that of amuletml 0.6, are named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from amulet.core import SettingError
from amulet.core.arguments import checked
from amulet.evasion.attacks import EvasionPGD
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet.utils import get_accuracy, train_classifier

MODEL = nn.Linear(3, 2)
LOADER = DataLoader(TensorDataset(torch.rand(8, 3), torch.arange(8) % 2), batch_size=4)
LOSS, OPTIMIZER = nn.CrossEntropyLoss(), torch.optim.Adam(MODEL.parameters())

OLD: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "train_classifier": (
        train_classifier,
        (MODEL, LOADER, LOSS, OPTIMIZER, 5, "cpu"),
        r"`optimizer` must be Optimizer or None, got CrossEntropyLoss; the order is train_classifier\(model,",
    ),
    "epochs first": (
        train_classifier,
        (MODEL, LOADER, OPTIMIZER, 5, "cpu"),
        "`device` must be a text or device, got int",
    ),
    "extraction": (
        ModelExtraction,
        (MODEL, MODEL, OPTIMIZER, LOADER, "cpu", 5),
        r"`criterion` must be Module or None, got DataLoader; the order is ModelExtraction\(target_model,",
    ),
    "device left out": (AdversarialTrainingPGD, (MODEL, LOSS, OPTIMIZER, LOADER, 5), "`device` must be .* got int"),
    "a text for epochs": (
        AdversarialTrainingPGD,
        (MODEL, LOSS, OPTIMIZER, LOADER, "cpu", "5"),
        "`epochs` must be a whole number, got str",
    ),
    "evasion": (EvasionPGD, (LOADER, MODEL), "`model` must be Module or None, got DataLoader"),
    "accuracy": (get_accuracy, (LOADER, MODEL), "`model` must be Module, got DataLoader"),
}


@pytest.mark.parametrize("what", OLD)
def test_an_old_order_is_refused_and_the_new_one_named(what: str) -> None:
    target, arguments, message = OLD[what]
    with pytest.raises(SettingError, match=message):
        target(*arguments)


def test_what_fits_passes() -> None:
    two: Any = np.int64(2)
    defense = AdversarialTrainingPGD(MODEL, LOSS, OPTIMIZER, LOADER, torch.device("cpu"), two, epsilon=0.1)
    assert (defense.epochs, defense.epsilon, defense.changed(epsilon=0.2).epsilon) == (2, 0.1, 0.2)
    assert "epsilon" in AdversarialTrainingPGD.parameters()


def test_annotations_that_cannot_be_read_are_not_checked() -> None:
    def own(model: Any) -> object:
        return model

    own.__annotations__ = {"model": "Unknown | None"}
    assert checked(own)(3) == 3


def test_a_keyword_is_checked_too() -> None:
    @checked
    def scaled(value: float, model: nn.Module | None = None, *, power: int = 1) -> float:
        return value**power

    assert scaled(2, power=3) == 8
    assert scaled(value=True) == 1
    with pytest.raises(SettingError, match=r"`value` must be a number, got str; the order is .*scaled\(value, model\)"):
        scaled(value="2")  # type: ignore[arg-type]
