"""Intervals over seeds and records: against closed forms, and their coverage where both vary."""

import math

import numpy as np
import pytest
from scipy import stats

from amulet.assessment.crossed import block_effects, paired_change
from amulet.assessment.verdict import Comparison, judge
from amulet.core.blocks import BLOCKS, RecordBlocks
from amulet.core.influence import of_mean


def _pairs(before: np.ndarray, after: np.ndarray) -> list[tuple[RecordBlocks, RecordBlocks]]:
    """Of answers that are right or wrong, (seeds, records) for each victim."""
    ids = np.arange(before.shape[1])
    return [(of_mean(ids, b).blocks(), of_mean(ids, a).blocks()) for b, a in zip(before, after, strict=True)]


def test_one_seed_has_the_interval_of_a_paired_comparison_of_records() -> None:
    """Beside McNemar's: the standard error of a difference of paired proportions, from the discordant pairs."""
    rng = np.random.default_rng(0)
    before = rng.random(20_000) < 0.8
    after = np.where(rng.random(20_000) < 0.1, ~before, before)
    gained, lost = (~before & after).mean(), (before & ~after).mean()
    error = math.sqrt((gained + lost - (gained - lost) ** 2) / 20_000)
    change = paired_change([before.mean()], [after.mean()], block_effects(_pairs(before[None], after[None])))
    assert change.n == 1
    assert change.mean == pytest.approx(gained - lost)
    assert change.error == pytest.approx(error, rel=0.25)  # estimated from 64 blocks
    assert change.low < change.mean < change.high


def test_two_models_that_agree_on_every_record_have_no_interval_of_width_zero() -> None:
    hits = np.ones((1, 500), dtype=bool)
    change = paired_change([1.0], [1.0], block_effects([(b, a) for b, a in _pairs(hits, ~hits)]))
    same = np.array([[True] * 499 + [False]])
    flat = paired_change([0.998], [0.998], block_effects(_pairs(same, same)))
    assert change.mean == 0.0
    assert flat.high == pytest.approx(-flat.low)
    assert flat.high == pytest.approx(stats.t.ppf(0.975, BLOCKS - 1) * math.sqrt(2) / 502)


def test_records_count_only_where_every_model_had_the_same_ones() -> None:
    one = of_mean(range(100), np.arange(100) < 50).blocks()
    other = of_mean(range(1, 101), np.arange(100) < 50).blocks()
    assert block_effects([(one, one), (one, one)]) is not None
    assert block_effects([(one, one), (other, other)]) is None
    assert block_effects([(one, None)]) is None
    assert block_effects([]) is None
    assert RecordBlocks.from_dict(one.as_dict()) == one


def _grid(rng: np.random.Generator, seeds: int, records: int, shared: float, own: float) -> Comparison:
    """Two victims without a true difference: the records prefer one of them (shared), and every model errs (own)."""
    taste = rng.normal(0, shared, records)
    before = taste + rng.normal(0, own, (seeds, records)) + rng.normal(0, 0.01, (seeds, 1)) < 0.8
    after = -taste + rng.normal(0, own, (seeds, records)) + rng.normal(0, 0.01, (seeds, 1)) < 0.8
    return Comparison(
        undefended=before.mean(axis=1).tolist(),
        defended=after.mean(axis=1).tolist(),
        worse="higher",
        effects=block_effects(_pairs(before, after)),
    )


@pytest.mark.parametrize(("seeds", "shared"), [(3, 1.0), (10, 1.0), (10, 0.0)])
def test_the_interval_covers_no_difference_where_records_are_shared(seeds: int, shared: float) -> None:
    """Seeds alone cover 0 far too rarely where the records prefer one victim; seeds and records cover it."""
    rng = np.random.default_rng(seeds + 100)
    both, alone, trials = 0, 0, 400
    for _ in range(trials):
        cell = _grid(rng, seeds, 400, shared, 1.0)
        change = paired_change(cell.undefended, cell.defended, cell.effects)
        fixed = paired_change(cell.undefended, cell.defended)
        both += change.low <= 0 <= change.high
        alone += fixed.low <= 0 <= fixed.high
    assert stats.binomtest(both, trials, 0.95, alternative="less").pvalue > 0.01
    assert alone / trials < 0.85 or not shared


def test_a_grid_of_noise_over_shared_records_gives_no_verdicts() -> None:
    """60 grids of 8 cells that share 10 seeds' records: at most 5 % of grids may have a verdict."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(60):
        verdicts = judge({i: _grid(rng, 10, 300, 0.7, 1.0) for i in range(8)})
        wrong += any(verdict.outcome in ("rises", "falls") for verdict in verdicts.values())
    assert stats.binomtest(wrong, 60, 0.05, alternative="greater").pvalue > 0.01
