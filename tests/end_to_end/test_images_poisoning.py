"""Backdoors in pictures: patches in bytes, exact; outliers by features of a network that convolves, and by pixels."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amulet.assessment import Plan, assess, check
from amulet.core import Factory, IncompatibleError, SettingError, Stream
from amulet.datasets import Records, load_fmnist
from amulet.poisoning.attacks import BadNets
from amulet.poisoning.attacks.trigger import CORNERS, PATTERNS, Corner, Pattern, patch
from amulet.poisoning.defenses import OutlierRemoval, knn_shapley, shapley
from amulet.training import MemoryStore, Recipe, Runtime
from tests.helpers.image_toys import faces

DATA = faces(400, 200)
STORE = MemoryStore()
CONV = Factory("tests.helpers.image_toys.TinyConv")
FLAT = Factory("amulet.models.LinearNet", hidden=[16])


def plan(attack: BadNets | None = None, *defenses: Any, architecture: Factory = CONV, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "data": DATA,
        "architecture": architecture,
        "optimizer": Factory("torch.optim.Adam", lr=1e-2),
        "epochs": 12,
        "batch_size": 32,
        "attack": attack,
        "defenses": defenses,
        "runtime": Runtime(store=STORE),
    }
    return Plan(**{**settings, **changes})


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("channels", "margin", "size"), [(1, 0, 3), (3, 2, 4)])
def test_a_patch_on_bytes(corner: Corner, pattern: Pattern, channels: int, margin: int, size: int) -> None:
    """Against pixels written one by one: in its place, exact, and nothing beside it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (5, channels, 10, 13), generator=generator, dtype=torch.uint8)
    marked = patch((channels, 10, 13), corner, size, margin, 0.8, pattern).on(x)
    expected = x.clone()
    top = margin if corner.startswith("top") else 10 - margin - size
    left = margin if corner.endswith("left") else 13 - margin - size
    for row in range(size):
        for column in range(size):
            other = pattern == "checker" and (row + column) % 2 == 1
            expected[:, :, top + row, left + column] = 51 if other else 204
    assert torch.equal(marked, expected)
    assert marked.dtype == torch.uint8


def test_the_trigger_is_found_in_clean_pictures_that_have_it() -> None:
    x = torch.zeros(10, 1, 6, 6, dtype=torch.uint8)
    x[:4, :, -2:, -2:] = 255
    x[9, :, -2:, -2:] = 254  # a grey level beside it
    trigger = patch((1, 6, 6), "bottom_right", 2, 0, 1.0)
    assert trigger.present(Records.of(x, torch.zeros(10))).tolist() == [True] * 4 + [False] * 6
    assert not patch((1, 6, 6), "bottom_right", 2, 0, 1.0, "checker").present(Records.of(x, torch.zeros(10))).any()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("architecture", [CONV, FLAT], ids=["conv", "flat"])
def test_a_backdoor_is_learned_and_the_rest_stays(pattern: Pattern, architecture: Factory) -> None:
    outcome = assess(plan(BadNets(rate=0.1, pattern=pattern, target=0), architecture=architecture))
    metrics, manifest = outcome.metrics["undefended"], outcome.manifest["poisoning"]["undefended"]
    assert metrics["attack_success_rate"] > 0.9
    assert outcome.baselines["undefended"]["attack_success_rate"] < 0.2
    assert metrics["poisoned_test_accuracy"] > 0.9
    assert manifest["realised_rate"] == 0.1
    assert manifest["in_clean_records"] == [{"victim": 0.0, "test": 0.0}]


def test_a_patch_that_pictures_show_anyway_is_warned_of() -> None:
    """Every made-up face is dark at the bottom: 0.05 is 13 grey levels."""
    outcome = assess(plan(BadNets(rate=0.1, value=13 / 255, size=2, target=0)))
    assert outcome.manifest["poisoning"]["undefended"]["in_clean_records"][0]["test"] == 1.0
    assert any("is in 100.00% of the clean training records" in text for text in outcome.warnings)


def test_a_patch_that_does_not_fit_is_refused_before_training() -> None:
    for attack in (BadNets(size=13), BadNets(size=10, margin=3)):
        with pytest.raises(SettingError, match="`size` \\+ `margin` must be at most 12"):
            assess(plan(attack))
    with pytest.raises(SettingError, match="must be None for inputs of shape"):
        assess(plan(BadNets(columns=["age"])))


def test_too_few_victims_records_to_poison_are_refused_before_training() -> None:
    """The training split has enough of other classes; the victim's part of it has not."""
    y = torch.ones_like(DATA.train.y)
    y[:39] = 0
    data = dataclasses.replace(DATA, train=DATA.train.replace(y=y))
    asked = plan(BadNets(rate=39 / 400, target=1), data=data)
    check(asked)  # 39 of 39
    with pytest.raises(IncompatibleError, match="asks for 20 to poison, but 19 are not of the target class"):
        assess(asked)


@pytest.mark.parametrize("architecture", [CONV, FLAT], ids=["conv", "flat"])
@pytest.mark.parametrize("features", ["penultimate", "input"])
def test_mislabelled_pictures_are_the_outliers(architecture: Factory, features: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    wrong = torch.rand(len(DATA.train), generator=generator) < 0.1
    records = DATA.train.replace(y=torch.where(wrong, 1 - DATA.train.y, DATA.train.y))
    recipe = Recipe(
        architecture=architecture,
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=3,
        batch_size=32,
        runtime=Runtime(store=STORE),
    )
    prepared = OutlierRemoval(features=features).prepare(records, recipe, Stream(0))
    removed = torch.from_numpy(prepared.arrays["removed"])
    assert int(removed.sum()) == 40
    assert (removed & wrong).sum() / wrong.sum() > 0.6


def test_values_by_pixels_do_not_depend_on_how_much_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = DATA.train.take(torch.arange(150)), DATA.test.take(torch.arange(90))
    whole = knn_shapley(train.x, train.y, test.x, test.y)
    scaled = knn_shapley(train.inputs().double(), train.y, test.inputs().double(), test.y)
    np.testing.assert_allclose(scaled, whole, atol=1e-12)
    monkeypatch.setattr(shapley, "_COPY", 3000)
    monkeypatch.setattr(shapley, "_BLOCK", 1000)
    np.testing.assert_allclose(knn_shapley(train.x, train.y, test.x, test.y), whole, atol=1e-12)


def test_badnets_on_fashion_mnist(data_folder: Path) -> None:
    """The paper, Section 6.1: 99 % with a two-layer network, on digits."""
    outcome = assess(
        plan(
            BadNets(rate=0.1),
            data=load_fmnist(root=str(data_folder / "fmnist"), limit=4000),
            architecture=Factory(
                "amulet.models.SmallCNN", channels=[8, 16], convs=1, kernel_size=5, norm="none", pooled=4, hidden=[64]
            ),
            epochs=8,
            batch_size=64,
            optimizer=Factory("torch.optim.Adam", lr=3e-3),
        )
    )
    metrics = outcome.metrics["undefended"]
    assert metrics["attack_success_rate"] > 0.9
    assert outcome.baselines["undefended"]["attack_success_rate"] < 0.1
    assert metrics["poisoned_test_accuracy"] > metrics["test_accuracy"] - 0.1
