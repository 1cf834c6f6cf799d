"""Influence values against standard errors known in closed form, or from scikit-learn and a bootstrap."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from amulet.core.influence import Influence, of_auc, of_cells, of_mean

rng = np.random.default_rng(0)
N = 400
truth = rng.random(N) < 0.4
answer = np.where(rng.random(N) < 0.8, truth, ~truth)
CELLS = 2 * truth + answer


def _kappa(p: np.ndarray) -> float:
    seen = (p[0] + p[3]) / p.sum()
    chance = ((p[0] + p[1]) * (p[0] + p[2]) + (p[2] + p[3]) * (p[1] + p[3])) / p.sum() ** 2
    return float((seen - chance) / (1 - chance))


def _balanced(p: np.ndarray) -> float:
    return float((p[0] / (p[0] + p[1]) + p[3] / (p[2] + p[3])) / 2)


def _resampled(draws: int = 3000) -> np.ndarray:
    """How often a bootstrap takes each record, (draws, N)."""
    return rng.multinomial(N, np.full(N, 1 / N), size=draws)


def test_a_share_has_the_binomial_standard_error() -> None:
    hits = np.arange(N) < 100
    assert of_mean(np.arange(N), hits).error == pytest.approx(np.sqrt(0.25 * 0.75 / (N - 1)))


@pytest.mark.parametrize(
    ("statistic", "reference"), [(_kappa, cohen_kappa_score), (_balanced, balanced_accuracy_score)]
)
def test_functions_of_cells_have_the_error_of_a_bootstrap(
    statistic: Callable[[np.ndarray], float], reference: Callable[..., float]
) -> None:
    found = of_cells(np.arange(N), CELLS, statistic)
    assert found.values.mean() == pytest.approx(0, abs=1e-6)
    counts = _resampled() @ np.eye(4, dtype=int)[CELLS]
    assert statistic(np.bincount(CELLS, minlength=4)) == pytest.approx(reference(truth, answer))
    assert found.error == pytest.approx(np.std([statistic(row) for row in counts]), rel=0.06)


def test_an_auc_has_the_error_of_a_bootstrap() -> None:
    scores = truth + rng.normal(size=N)
    found = of_auc(np.arange(N), scores, truth)
    above = (scores[truth][:, None] > scores[~truth]).astype(float)
    assert above.mean() == pytest.approx(roc_auc_score(truth, scores))
    taken = _resampled()
    ones, zeros = taken[:, truth], taken[:, ~truth]
    drawn = ((ones @ above) * zeros).sum(axis=1) / (ones.sum(axis=1) * zeros.sum(axis=1))
    assert found.error == pytest.approx(np.std(drawn), rel=0.06)
    assert of_auc(np.arange(N), scores, np.ones(N)).error == 0


def test_values_belong_to_ids() -> None:
    with pytest.raises(ValueError, match="one per record"):
        Influence(np.arange(3), np.zeros(2))
