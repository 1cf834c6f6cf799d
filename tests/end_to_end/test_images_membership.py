"""Membership of pictures: shadow models in memory_budget, private training in parts of a sample, GroupNorm for both."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amulet.assessment import Plan, assess
from amulet.core import Factory, Stream
from amulet.datasets import Records
from amulet.membership_inference.attacks import LiRA
from amulet.membership_inference.defenses import DPSGD, dp_sgd
from amulet.training import MemoryStore, Recipe, Runtime
from amulet.training.loop import train
from amulet.training.parallel import memory_budget
from amulet.training.parallel.memory_budget import fit_in_portions, portion
from tests.helpers.image_toys import TinyConv, faces

DATA = faces(200, 80)


def recipe(**changes: Any) -> Recipe:
    made = Recipe(
        architecture=Factory("tests.helpers.image_toys.TinyConv"),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=2,
        batch_size=32,
        runtime=Runtime(store=MemoryStore()),
    )
    return made.changed(**changes)


def test_models_in_portions_are_those_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    places = [torch.rand(200, generator=generator) < 0.5 for _ in range(5)]
    streams = [Stream(0) / k for k in range(5)]
    at_once = recipe().fit_many([DATA.train.take(place) for place in places], streams)
    taken, take = list[int](), Records.take

    def watched(self: Records, index: Tensor) -> Records:
        taken.append(len(index))
        return take(self, index)

    monkeypatch.setattr(Records, "take", watched)
    largest = 144 * max(int(place.sum()) for place in places)  # bytes of pictures; the weights come on top
    monkeypatch.setattr(
        memory_budget, "_BUDGET", 2 * (largest + 4 * sum(p.numel() for p in at_once[0].parameters())) + 100
    )
    assert portion(recipe(), DATA.train, places) == 2
    models = fit_in_portions(recipe(), DATA.train, places, streams, "models")
    first = next(models)
    assert len(taken) == 2, "the records of the others are not taken before they are needed"
    for mine, theirs in zip([first, *models], at_once, strict=True):
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(p, q)


def test_a_portion_is_at_least_one_model_and_at_most_32(monkeypatch: pytest.MonkeyPatch) -> None:
    assert portion(recipe(), DATA.train, [torch.arange(100)]) == 32
    monkeypatch.setattr(memory_budget, "_BUDGET", 1)
    assert portion(recipe(), DATA.train, [torch.arange(100)]) == 1
    lazy = recipe(architecture=Factory("test_images_membership.Lazy"))
    assert portion(lazy, DATA.train, [torch.arange(100)]) == 1
    assert list(fit_in_portions(recipe(), DATA.train, [], [], "none")) == []


class Lazy(nn.Module):
    """Its weights have no size before it has seen an input."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.head = nn.LazyLinear(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


@pytest.mark.parametrize("architecture", ["tests.helpers.image_toys.TinyConv", "amulet.models.LinearNet"])
def test_members_of_what_is_learned_by_heart_are_found(architecture: str) -> None:
    """Pictures of noise, with labels of chance."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (300, 1, 12, 12), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, 2, (300,), generator=generator)
    records = Records.of(x, y)
    members = torch.arange(200) % 2 == 0
    pool, others = records.take(torch.arange(200)), records.take(torch.arange(200, 300))
    settings: dict[str, Any] = (
        {"hidden": [64]} if architecture.endswith("LinearNet") else {"channels": 16, "batch_norm": True}
    )
    made = recipe(architecture=Factory(architecture, **settings), epochs=25, optimizer=adam(3e-3))
    model = made.fit(pool.take(members), Stream(1))
    evidence = LiRA(model, made, pool, members, others, n_shadow=4).attack()
    score = evidence.scores["lira_offline"]
    assert np.mean(score[evidence.members][:, None] > score[~evidence.members]) > 0.65


def adam(lr: float) -> Factory:
    return Factory("torch.optim.Adam", lr=lr)


def test_a_sample_of_pictures_is_protected_in_parts_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> tuple[list[Tensor], int]:
        torch.manual_seed(0)
        model, most = TinyConv((1, 12, 12), 2), 0

        def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            nonlocal most
            most = max(most, len(inputs[0]))

        model.register_forward_pre_hook(count)
        report = train(
            model,
            DATA.train,
            optimizer=adam(1e-2),
            epochs=3,
            batch_size=64,
            stream=Stream(0),
            hooks=[DPSGD(epsilon=8.0, batch_size=64).hook()],
        )
        assert report["epsilon"] <= 8
        return [p.detach() for p in model.parameters()], most

    whole, most = trained()
    assert most > 40
    monkeypatch.setattr(dp_sgd, "batch_size_for", lambda shape: 9)  # type: ignore[reportUnknownLambdaType]
    parts, most = trained()
    assert most == 9
    for mine, theirs in zip(parts, whole, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize(("batch_norm", "warned"), [(True, True), (False, False)])
def test_both_victims_get_group_norm(batch_norm: bool, warned: bool) -> None:
    outcome = assess(
        Plan(
            data=DATA,
            architecture=Factory("tests.helpers.image_toys.TinyConv", batch_norm=batch_norm),
            optimizer=adam(1e-2),
            epochs=2,
            batch_size=32,
            defenses=(DPSGD(),),
            attack=LiRA(n_shadow=4),
            runtime=Runtime(),
        )
    )
    assert (
        any("BatchNorm layers are replaced by GroupNorm, in the undefended victim too" in w for w in outcome.warnings)
        == warned
    )
    assert outcome.metrics["defended"]["epsilon"] <= 8
    assert outcome.manifest["training"]["defended"]["epsilon"] <= 8
    for victim in ("undefended", "defended"):
        assert 0 <= outcome.metrics[victim]["lira_online.auc"] <= 1
