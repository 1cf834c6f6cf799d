"""Robustness at several budgets, distances to wrong answers, HopSkipJump: against closed forms and ART."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amulet.core import SettingError, Stream
from amulet.core.evidence import Measurement
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.evasion import protocol
from amulet.evasion.attacks import BALLS, ConstrainedPGD, EvasionAttack, EvasionPGD, HopSkipJump, SquareAttack
from amulet.evasion.budgets import Attacked
from amulet.evasion.metrics import EvasionEvidence
from amulet.models import predict
from amulet.testing.laboratory import Laboratory

WEIGHTS = torch.tensor([3.0, -2.0, 1.0, 0.5, 0.0])


class Plane(nn.Module):
    """Class 1 on one side of a plane: the distance to it is known in any norm."""

    def forward(self, x: Tensor) -> Tensor:
        side = (x - 0.5) @ WEIGHTS
        return torch.stack([-side, side], dim=1)


def points(count: int = 60) -> Records:
    generator = torch.Generator().manual_seed(0)
    x = 0.35 + 0.3 * torch.rand(count, 5, generator=generator)  # no way to the plane leads out of [0, 1]
    y = predict(Plane(), x).argmax(dim=1)
    y[:6] = 1 - y[:6]  # wrong as they are
    return Records.of(x, y)


def true_distances(records: Records, norm: str) -> Tensor:
    dual = WEIGHTS.abs().sum() if norm == "linf" else WEIGHTS.norm()
    return ((records.x - 0.5) @ WEIGHTS).abs() / dual


def attacked(records: Records) -> Attacked:
    clean = predict(Plane(), records).argmax(dim=1) == records.y
    return Attacked(Plane().eval(), records, None, Stream(0), clean)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("kind", [EvasionPGD, HopSkipJump, SquareAttack])
def test_a_curve_and_its_median_are_those_of_the_true_distances(kind: type[EvasionAttack], norm: str) -> None:
    records, budgets = points(), [0.01, 0.03, 0.05, 0.08, 0.2]
    settings: dict[str, Any] = {"norm": norm, "epsilon_curve": budgets, "epsilon": 0.05, "median_distance": True}
    if kind is SquareAttack:
        settings["queries"] = 150
    attack, found = kind(**settings), attacked(points())
    robust, moved = found.by(attack)
    assert moved.max() <= 0.05 + 1e-6
    distances = found.distances(attack)
    assert (distances is None) == (kind is not HopSkipJump)
    curve = found.curve(attack, robust, distances)
    true = true_distances(records, norm)
    assert list(curve) == [f"{one:g}" for one in budgets]
    assert torch.equal(curve["0.05"], robust)
    wrong = 0
    for epsilon in budgets:
        withstands = found.clean & (true > epsilon)
        assert not (withstands & ~curve[f"{epsilon:g}"]).any(), "nothing falls that is too far away"
        wrong += int((withstands != curve[f"{epsilon:g}"]).sum())
    assert wrong <= (2 if kind is EvasionPGD else 12), "of 300"
    for small, large in pairwise(budgets):
        assert not (curve[f"{large:g}"] & ~curve[f"{small:g}"]).any()
    middle = true[found.clean].sort().values[(int(found.clean.sum()) + 1) // 2 - 1].item()
    median = found.median_distance(attack, robust, distances)
    assert middle * 0.999 <= median <= middle * (1.03 if kind is EvasionPGD else 1.15)


def test_a_larger_budget_is_tried_where_half_withstand_the_one_that_is_set() -> None:
    found, attack = attacked(points()), EvasionPGD(epsilon=0.002)
    robust = found.by(attack)[0]
    assert robust.sum() > 30
    middle = true_distances(points(), "linf")[found.clean].median().item()
    assert found.median_distance(attack, robust, None) == pytest.approx(middle, rel=0.03)


def test_there_is_no_median_where_nothing_turns() -> None:
    class Sure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(dim=1) * 0 + 1, x.sum(dim=1) * 0], dim=1)

    records = Records.of(torch.rand(20, 3), torch.zeros(20))
    found = Attacked(Sure(), records, None, Stream(0), torch.ones(20, dtype=torch.bool))
    for attack in (EvasionPGD(steps=2), HopSkipJump(queries=50)):
        assert math.isnan(found.median_distance(attack, found.by(attack)[0], found.distances(attack)))


@pytest.mark.parametrize("norm", BALLS)
def test_hopskipjump_keeps_to_its_queries_and_counts_them(norm: Any) -> None:
    asked = 0

    class Counting(Plane):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal asked
            asked += len(x)
            return super().forward(x)

    records = points()
    for queries in (1, 40, 700):
        attack, asked = HopSkipJump(norm=norm, queries=queries), 0
        attack.nearest(Counting(), records.x, records.y, mask=None, generator=torch.Generator().manual_seed(0))
        assert asked == attack.queried
        assert asked <= (queries + 1) * len(records)


def test_hopskipjump_leaves_masked_columns_alone() -> None:
    records, mask = points(), torch.tensor([0.0, 1, 1, 1, 1])
    attack = HopSkipJump(queries=600)
    x = attack.nearest(Plane(), records.x, records.y, mask=mask, generator=torch.Generator().manual_seed(0))
    assert torch.equal(x[:, 0], records.x[:, 0])
    assert (predict(Plane(), x).argmax(dim=1) != records.y).float().mean() > 0.8


@pytest.mark.parametrize("norm", BALLS)
def test_hopskipjump_comes_as_near_as_art(norm: Any) -> None:
    pytest.importorskip("art", reason="needs the extra `peers`")
    from art.attacks.evasion import HopSkipJump as Peer
    from art.estimators.classification import PyTorchClassifier

    class Bent(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            side = (x.float() - 0.5) @ WEIGHTS + (x.float() - 0.4).square().sum(dim=1) - 0.1
            return torch.stack([-side, side], dim=1)

    records = points(10)
    y = predict(Bent(), records).argmax(dim=1)
    estimator = PyTorchClassifier(
        model=Bent(), loss=nn.CrossEntropyLoss(), input_shape=(5,), nb_classes=2, clip_values=(0, 1), device_type="cpu"
    )
    np.random.seed(0)  # noqa: NPY002  # ART draws from the global generator
    peer = Peer(estimator, norm=np.inf if norm == "linf" else 2, max_iter=4, init_eval=50, max_eval=200, verbose=False)
    theirs = torch.from_numpy(peer.generate(records.x.numpy()))
    turned = predict(Bent(), theirs).argmax(dim=1) != y
    assert turned.sum() >= 5
    attack = HopSkipJump(norm=norm, neighbours=50, queries=600)
    ours = attack.nearest(Bent(), records.x, y, mask=None, generator=torch.Generator().manual_seed(0))
    assert (predict(Bent(), ours).argmax(dim=1) != y).all()
    near, far = (BALLS[norm].length(x - records.x)[turned].mean().item() for x in (ours, theirs))
    assert near <= 1.1 * far


def test_the_protocol_reports_curve_median_and_what_constraints_cost() -> None:
    more: dict[str, Any] = {"median_distance": True, "compare": True}
    data = load_census(limit=100)
    measured = measurement(data, ConstrainedPGD(epsilon=0.05, steps=5, restarts=1, epsilon_curve=[0.1], **more))
    larger, plain = measured.metrics["epsilon_0.1.robust_accuracy"], measured.metrics["robust_accuracy"]
    assert larger <= plain
    assert measured.facts["epsilon_0.1.robust_accuracy"].at == "eps 0.1, possible records, 1 category"
    assert measured.facts["unconstrained.robust_accuracy"].at == "eps 0.05"
    assert not measured.facts["epsilon_0.1.robust_accuracy"].decides
    assert not measured.facts["unconstrained.robust_accuracy"].decides
    assert measured.facts["robust_accuracy"].decides
    assert "unconstrained.robust_accuracy" in measured.intervals
    assert measured.metrics["median_distance"] > 0


def measurement(data: AmuletDataset, attack: EvasionAttack) -> Measurement:
    laboratory = Laboratory(data)
    splits = laboratory.splits()
    evidence = protocol.assess(laboratory.victim(splits), attack, splits)
    assert isinstance(evidence, EvasionEvidence)
    return protocol.measure(evidence)


def test_budgets_that_cannot_be_are_refused() -> None:
    for kind in (EvasionPGD, SquareAttack, HopSkipJump, ConstrainedPGD):
        with pytest.raises(SettingError, match="`epsilon_curve` must satisfy 0 <= epsilon_curve <= 1, got 2"):
            kind(epsilon_curve=[0.1, 2])
