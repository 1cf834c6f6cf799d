"""Distances to class means, and the numbers and warnings that are made of them."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from amulet.data_reconstruction.metrics import ReconstructionEvidence, measure, mse, recognition, ssim

Image = NDArray[np.float64]


def ssim_by_hand(a: Image, b: Image) -> float:
    """Wang et al. (2004) for one channel: Gaussian windows by scipy, places where the window of 11 fits."""

    def smooth(image: Image) -> Image:
        return gaussian_filter(image, 1.5, truncate=3.5)

    ma, mb = smooth(a), smooth(b)
    va, vb, cov = smooth(a * a) - ma * ma, smooth(b * b) - mb * mb, smooth(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    every = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(every[5:-5, 5:-5].mean())


def pictures(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_ssim_against_the_formula() -> None:
    a, b = pictures(0, 3, 2, 16, 20), pictures(1, 3, 2, 16, 20)
    b = (0.6 * a + 0.4 * b).clamp(0, 1)
    expected = [
        np.mean([ssim_by_hand(a[i, c].double().numpy(), b[i, c].double().numpy()) for c in range(2)]) for i in range(3)
    ]
    assert ssim(a, b).numpy() == pytest.approx(expected, abs=1e-9)


def test_ssim_against_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    a, b = pictures(0, 16, 16).double(), pictures(1, 16, 16).double()
    expected = metrics.structural_similarity(
        a.numpy(), b.numpy(), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert ssim(a[None, None], b[None, None]).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("side", [3, 4, 8, 11, 28])
def test_ssim_of_small_pictures(side: int) -> None:
    a, b = pictures(0, 2, 1, side, side), pictures(1, 2, 1, side, side)
    assert ssim(a, a).numpy() == pytest.approx(1.0)
    assert torch.equal(ssim(a, b), ssim(b, a))
    assert (ssim(a, b) < 0.8).all()
    assert torch.isfinite(ssim(a, torch.zeros_like(a))).all()


def test_ssim_needs_room_for_a_window() -> None:
    with pytest.raises(ValueError, match="at least 3 pixels"):
        ssim(pictures(0, 1, 1, 2, 9), pictures(1, 1, 1, 2, 9))


def test_mse_against_numpy() -> None:
    a, b = pictures(0, 4, 3, 5, 5), pictures(1, 4, 3, 5, 5)
    expected = ((a.double().numpy() - b.double().numpy()) ** 2).reshape(4, -1).mean(axis=1)
    assert mse(a, b).numpy() == pytest.approx(expected)


SURE = torch.tensor([[math.log(9), 0.0], [0.0, math.log(4)]])  # 0.9 and 0.8 for the class that is wanted


def evidence(reconstructions: Tensor, *, image: bool = False, **changes: object) -> ReconstructionEvidence:
    """Two classes whose means are 0.2 and 0.8 everywhere; half of the records each."""
    means = torch.full_like(reconstructions, 0.2, dtype=torch.float64)
    means[1] = 0.8
    made = ReconstructionEvidence(
        name="defended",
        image=image,
        reconstructions=reconstructions,
        means=means,
        counts=torch.tensor([5, 5]),
        mean=means.mean(dim=0),
        start=torch.zeros_like(reconstructions),
        judged={"reconstructions": SURE, "start": torch.zeros(2, 2), "means": SURE},
        known=torch.tensor([5, 5]),
        random=torch.rand(4, *reconstructions.shape[1:], generator=torch.Generator().manual_seed(0)),
        first_loss=torch.tensor([1.0, 1.0]),
        loss=torch.tensor([0.1, 0.1]),
        moved=torch.tensor([0.3, 0.3]),
    )
    return made.changed(**changes)


def test_metrics_and_baselines_of_a_table() -> None:
    measured = measure(evidence(torch.tensor([[0.3] * 6, [0.6] * 6])))
    distances = {name: value for name, value in measured.metrics.items() if name.endswith("mse")}
    assert distances == pytest.approx({"mse": 0.025, "class_0.mse": 0.01, "class_1.mse": 0.04}, abs=1e-6)
    expected = {"mse": 0.09, "class_0.mse": 0.09, "class_1.mse": 0.09, "zero.mse": 0.34, "start.mse": 0.34}
    assert {name: measured.baselines[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    # Noise that is uniform in [0, 1]: (m - 1/2)^2 + 1/12.
    assert measured.baselines["random.mse"] == pytest.approx(0.09 + 1 / 12, abs=0.06)
    assert measured.warnings == []


def test_pictures_have_a_similarity_too() -> None:
    x = 0.5 + 0.1 * (pictures(0, 2, 1, 12, 12) - 0.5)
    means = x.double() + 0.01
    measured = measure(evidence(x, image=True, means=means))
    assert set(measured.metrics) == {
        f"{prefix}{name}" for prefix in ("", "class_0.", "class_1.") for name in ("recognition", "mse", "ssim")
    }
    assert measured.metrics["ssim"] > 0.9 > measured.baselines["random.ssim"]
    assert {"ssim", "zero.ssim", "start.ssim", "class_1.ssim"} <= set(measured.baselines)


def test_flattened_pictures_have_none() -> None:
    assert "ssim" not in measure(evidence(torch.full((2, 9), 0.5), image=True)).metrics


def test_what_does_not_move_is_said_to_be_still() -> None:
    found = measure(evidence(torch.tensor([[0.3] * 4, [0.6] * 4]), moved=torch.tensor([0.2, 0.001])))
    assert any("hardly moved for class 1 " in w and "attack.step_size" in w for w in found.warnings)
    assert all(w.startswith("defended: ") for w in found.warnings)


def test_a_loss_that_did_not_fall_is_told() -> None:
    found = measure(evidence(torch.tensor([[0.3] * 4, [0.6] * 4]), loss=torch.tensor([1.0, math.nan])))
    assert any("did not lower its loss for classes 0, 1:" in w for w in found.warnings)


def test_what_is_no_better_than_the_mean_is_no_leak() -> None:
    between = measure(evidence(torch.tensor([[0.55] * 4, [0.45] * 4])))
    assert any("mean of all training records (0.0900)" in w for w in between.warnings)
    away = measure(evidence(torch.tensor([[1.0] * 4, [0.0] * 4])))
    assert any("where the search began (0.3400)" in w for w in away.warnings)


def test_a_class_without_records_is_left_out() -> None:
    x = torch.tensor([[0.3] * 4, [0.6] * 4])
    means = torch.tensor([[0.2] * 4, [math.nan] * 4], dtype=torch.float64)
    measured = measure(evidence(x, means=means, counts=torch.tensor([5, 0]), mean=means[0]))
    assert measured.metrics["mse"] == pytest.approx(0.01)
    assert math.isnan(measured.metrics["class_1.mse"])
    assert any("no training record has class 1," in w for w in measured.warnings)


def test_recognition_is_the_judges_confidence_and_decides() -> None:
    assert recognition(SURE, torch.arange(2)).tolist() == pytest.approx([0.9, 0.8])
    measured = measure(evidence(torch.tensor([[0.3] * 4, [0.6] * 4])))
    assert measured.metrics["recognition"] == pytest.approx(0.85)
    assert measured.metrics["class_1.recognition"] == pytest.approx(0.8)
    assert measured.baselines["recognition"] == measured.baselines["start.recognition"] == 0.5
    assert measured.baselines["means.recognition"] == pytest.approx(0.85)
    assert [name for name, facts in measured.facts.items() if facts.decides] == ["recognition"]
    assert measured.facts["recognition"].harm == "higher"
    assert measured.invalid == {}


def test_a_search_that_failed_carries_no_verdict() -> None:
    found = measure(evidence(torch.tensor([[0.3] * 4, [0.6] * 4]), loss=torch.tensor([1.5, 0.9])))
    assert found.invalid == dict.fromkeys(("recognition", "mse"), "the search did not lower the loss")


@pytest.mark.parametrize(
    ("x", "judged", "doubted"),
    [
        ([0.55, 0.45], SURE, {"mse": "nothing about a class does better (mse 0.0900)"}),
        ([1.0, 0.0], SURE, {"mse": "farther from the classes than it began (mse 0.3400)"}),
        ([0.3, 0.6], -SURE, {"recognition": "farther from the classes than it began (recognition 0.5000)"}),
    ],
)
def test_what_loses_to_its_baselines_carries_no_verdict(
    x: list[float], judged: Tensor, doubted: dict[str, str]
) -> None:
    rows = {"reconstructions": judged, "start": torch.zeros(2, 2), "means": SURE}
    found = measure(evidence(torch.tensor([[one] * 4 for one in x]), judged=rows))
    assert found.invalid.keys() == doubted.keys()
    assert all(doubted[name] in reason for name, reason in found.invalid.items())
    assert any("is no measure of what the model reveals" in w for w in found.warnings) == ("recognition" in doubted)


def test_a_judge_that_knows_nothing_is_told_and_classes_that_it_never_saw_are_left_out() -> None:
    x = torch.tensor([[0.3] * 4, [0.6] * 4])
    blind = {"reconstructions": SURE, "start": torch.zeros(2, 2), "means": torch.zeros(2, 2)}
    assert any("it is no judge of reconstructions" in w for w in measure(evidence(x, judged=blind)).warnings)
    measured = measure(evidence(x, known=torch.tensor([5, 0])))
    assert measured.metrics["recognition"] == pytest.approx(0.9)
    assert math.isnan(measured.metrics["class_1.recognition"])
    assert any("no record of class 1: left out of recognition" in w for w in measured.warnings)
