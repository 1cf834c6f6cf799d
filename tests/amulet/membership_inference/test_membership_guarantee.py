"""What differential privacy allows an attack, against mechanisms that reach it; an attack that has more is an error."""

import math

import numpy as np
import pytest

from amulet.membership_inference.metrics import MembershipEvidence, measure
from amulet.membership_inference.metrics.guarantee import by_substitution, largest_auc, largest_tpr


def curve(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best ROC of two distributions over the same outcomes (Neyman and Pearson): rates at its corners."""
    there = inside + outside > 0
    inside, outside = inside[there], outside[there]
    with np.errstate(divide="ignore"):
        order = np.argsort(-(inside / outside))
    return np.append(0, np.cumsum(outside[order])), np.append(0, np.cumsum(inside[order]))


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 0.0), (1.0, 1e-5), (2.0, 0.1), (8.0, 1e-3), (20.0, 0.0)])
def test_the_bound_is_reached_and_not_passed(epsilon: float, delta: float) -> None:
    """By the pair of distributions that dominates all (epsilon, delta)-indistinguishable ones."""
    often = 1 / (1 + math.exp(-epsilon))
    fpr, tpr = curve(
        np.array([delta, (1 - delta) * often, (1 - delta) * (1 - often), 0.0]),
        np.array([0.0, (1 - delta) * (1 - often), (1 - delta) * often, delta]),
    )
    for rate in (0.0, 0.001, 0.01, 0.2, 0.7, 1.0):
        assert largest_tpr(epsilon, delta, rate) == pytest.approx(np.interp(rate, fpr, tpr), abs=1e-9)
    assert largest_auc(epsilon, delta) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-9)


def test_a_game_with_halves_of_fixed_size_swaps_a_record() -> None:
    """Each of two records' presence is released by randomised response, which one record more changes once.

    That is epsilon-private for one record more. One of the two is the member: the odds of an outcome differ by
    exp(2 epsilon), which the bound for a record more would forbid, and the bound for a replaced one just allows.
    """
    epsilon = 0.7
    right = 1 / (1 + math.exp(-epsilon))
    released = np.array([right**2, right * (1 - right), right * (1 - right), (1 - right) ** 2])  # 10, 11, 00, 01
    fpr, tpr = curve(released, released[::-1])
    assert tpr[1] > 1.5 * largest_tpr(epsilon, 0.0, float(fpr[1]))
    assert tpr[1] == pytest.approx(largest_tpr(*by_substitution(epsilon, 0.0), float(fpr[1])))
    assert by_substitution(1.0, 1e-5) == (2.0, pytest.approx(1e-5 * (1 + math.e)))
    assert by_substitution(1000.0, 1e-5) == (2000.0, 1.0)
    assert largest_tpr(2000.0, 1e-5, 0.01) == largest_auc(2000.0, 0.0) == 1.0


def evidence(shift: float, epsilon: float | None, n: int = 2000, **changes: object) -> MembershipEvidence:
    members = np.arange(2 * n) < n
    score = np.random.default_rng(0).normal(size=2 * n) + shift * members
    values: dict[str, object] = {
        "victim": "defended",
        "ids": np.arange(2 * n),
        "members": members,
        "correct": np.ones(2 * n, dtype=bool),
        "scores": {"loss": score},
        "target_signals": score,
        "shadow_signals": np.zeros((4, 2 * n)),
        "shadow_members": np.zeros((4, 2 * n), dtype=bool),
        "epsilon": epsilon,
        "delta": 1e-5,
        **changes,
    }
    return MembershipEvidence(**values)  # type: ignore[arg-type]


def test_what_the_guarantee_allows_is_beside_what_the_attack_got() -> None:
    measured = measure(evidence(0.0, 0.5))
    assert measured.metrics["epsilon"] == 0.5
    swapped = by_substitution(0.5, 1e-5)
    assert measured.metrics["auc_bound"] == largest_auc(*swapped) == pytest.approx(0.731, abs=1e-3)
    assert measured.metrics["tpr_at_1pct_fpr_bound"] == largest_tpr(*swapped, 0.01) == pytest.approx(0.0272, abs=1e-4)
    assert measured.metrics["tpr_at_0.1pct_fpr_bound"] == pytest.approx(0.00276, abs=1e-4)
    assert measured.facts["auc_bound"].harm == "none"
    assert not [text for text in measured.warnings if "allows" in text]
    assert "auc_bound" not in measure(evidence(0.0, math.nan)).metrics
    assert "auc_bound" not in measure(evidence(0.0, None)).metrics


@pytest.mark.parametrize(
    ("epsilon", "shift", "share", "metric"),
    # In the second case the area under the curve is within its bound, the start of the curve is not.
    [(0.05, 0.5, 1, "auc"), (0.5, 9.0, 8, "tpr_at_1pct_fpr")],
)
def test_more_than_the_guarantee_allows_is_an_error(epsilon: float, shift: float, share: int, metric: str) -> None:
    draw = np.random.default_rng(1)
    score = draw.normal(size=4000) + shift * ((np.arange(4000) < 2000) & (np.arange(4000) % share == 0))
    made = evidence(0.0, epsilon, scores={"loss": score})
    with pytest.raises(RuntimeError, match=f"loss.{metric} is .* differential privacy .* allows .* has a bug"):
        measure(made)
    assert measure(made.changed(epsilon=8.0)).metrics["auc_bound"] > 0.99


def test_a_little_more_than_the_guarantee_allows_is_a_warning() -> None:
    measured = measure(evidence(0.12, 0.001))
    (warning,) = [text for text in measured.warnings if "allows" in text]
    assert warning.startswith("defended: loss.auc is 0.5")
    assert "other seeds" in warning
