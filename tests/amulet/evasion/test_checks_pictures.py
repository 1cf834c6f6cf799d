"""On pictures of several classes a search along one loss can climb towards a class that it never reaches."""

import dataclasses
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from amulet.core import Factory, Stream
from amulet.datasets import AmuletDataset, Records
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionPGD
from amulet.training import DataSplits, Recipe, Runtime, Victim


class Decoy(nn.Module):
    """A CNN that sees the brightness only: 0 is grey, 2 is dark, and 1 is nearly as likely as grey but never likelier.

    Brighter pictures raise class 1, the likeliest wrong one, without end and without success. Class 2, which is far
    less likely, is reached within the budget by darker ones.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(1, 1, 3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Linear(1, 3)
        with torch.no_grad():
            self.conv.weight.fill_(1 / 9)
            self.head.weight.copy_(scale * torch.tensor([[0.0], [0.1], [-20.0]]))
            self.head.bias.copy_(scale * torch.tensor([1.0, 0.8, 10.2]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.conv(x).relu()).flatten(1))


def pictures(n: int = 64) -> AmuletDataset:
    """Grey and dark pictures, with noise."""
    generator = torch.Generator().manual_seed(0)
    y = 2 * torch.randint(2, (2 * n,), generator=generator)
    x = (0.5 - 0.15 * y).view(-1, 1, 1, 1) + 0.05 * (torch.rand(2 * n, 1, 10, 10, generator=generator) - 0.5)
    ids = torch.arange(2 * n)
    train, test = (
        Records(x[part], y[part], torch.zeros(n, 0, dtype=torch.int64), ids[part], ())
        for part in (slice(0, n), slice(n, 2 * n))
    )
    return AmuletDataset(name="pictures", modality="image", train=train, test=test, num_classes=3)


@pytest.mark.parametrize(("loss", "scale"), [("margin", 1.0), ("cross_entropy", 100.0)])
def test_the_check_climbs_another_loss_than_the_search(loss: Literal["margin", "cross_entropy"], scale: float) -> None:
    data = pictures()
    recipe = Recipe(
        architecture=Factory("amulet.models.SmallCNN", channels=[2], convs=1),
        num_classes=3,
        optimizer=Factory("torch.optim.Adam"),
        epochs=1,
    )
    half = len(data.train) // 2
    splits = DataSplits(
        data=data,
        victim_records=data.train.take(torch.arange(half)),
        adversary_records=data.train.take(torch.arange(half, 2 * half)),
        stream=Stream(0),
        runtime=Runtime(),
        plain_recipe=recipe,
    )
    victim = Victim("undefended", recipe, splits.victim_records, Stream(0) / "victim")
    trained = recipe.produce(splits.victim_records, 1)
    victim.__dict__["trained"] = dataclasses.replace(trained, model=Decoy(scale).eval())
    evidence = protocol.assess(victim, EvasionPGD(epsilon=0.05, loss=loss), splits)
    grey = (data.test.y == 0).double().mean().item()
    assert evidence.clean_correct.all()
    assert evidence.robust_correct.all(), "the search alone sees a model that is perfectly robust"
    checked = evidence.manifest["check"]
    assert checked["robust_accuracy"] == 1
    assert checked["robust_accuracy_checked"] == pytest.approx(1 - grey, abs=0.1), "every grey picture can be darkened"
    assert "fall to searches along the gradients of the margin and of single classes" in evidence.invalid
    assert protocol.measure(evidence).invalid == {"robust_accuracy": evidence.invalid}, "no verdict rests on it"
