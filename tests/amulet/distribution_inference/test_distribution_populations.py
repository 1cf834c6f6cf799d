"""Training sets with the share that was asked for: exact, each drawn anew, or refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amulet.core import IncompatibleError, SettingError, Stream
from amulet.distribution_inference.populations import Pool, agreed_size, check_ratio, exact, largest_size, quotas
from tests.helpers.distribution_toys import groups


def pool(n: int = 300, seed: int = 0, share: float = 0.3) -> Pool:
    return Pool(groups(n, seed, share=share), "group", 1)


@given(st.integers(0, 100), st.integers(1, 40))
def test_quotas_are_exact(percent: int, step: int) -> None:
    ratio = percent / 100
    size = step * exact(ratio).denominator
    cells = quotas(size, ratio, None)
    assert sum(cells.values()) == size
    assert cells[1, -1] * 100 == percent * size
    fixed = quotas(size, ratio, [0.2, 0.5, 0.3])
    assert sum(fixed.values()) == size
    assert sum(fixed[1, label] for label in range(3)) == cells[1, -1]
    for (group, label), count in fixed.items():
        assert abs(count - cells[group, -1] * (0.2, 0.5, 0.3)[label]) <= 1


def test_a_size_that_makes_no_whole_number_of_records() -> None:
    with pytest.raises(ValueError, match=r"`size` must make 0.1 \* size a whole number, got 15"):
        quotas(15, 0.1, None)


@given(st.integers(0, 50), st.sampled_from([(0.1, 0.9), (0.5, 0.5), (0.25, 0.6), (0.0, 1.0)]), st.booleans())
def test_the_largest_size_is_the_largest(seed: int, ratios: tuple[float, float], fixed: bool) -> None:
    pools = [pool(120, seed), pool(90, seed + 1, share=0.6)]
    shares, labels = ([0.5, 0.5], "fixed") if fixed else (None, "natural")
    found = largest_size(pools, ratios, labels, shares)
    possible = [0]
    for size in range(1, 200):
        if any((exact(ratio) * size).denominator != 1 for ratio in ratios):
            continue
        cells = [quotas(size, ratio, shares) for ratio in ratios]
        have = [{cell: len(place) for cell, place in p.cells(labels).items()} for p in pools]
        if all(count <= h.get(cell, 0) for h in have for each in cells for cell, count in each.items()):
            possible.append(size)
    assert found == max(possible)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_every_draw_has_the_share_and_is_its_own(ratio: float) -> None:
    mine = pool(400, 1)
    cells = quotas(100, ratio, None)
    drawn = [mine.draw(cells, "natural", Stream(0) / k) for k in range(6)]
    for part in drawn:
        assert int(part.z.sum()) == round(100 * ratio)
        assert len(part.ids.unique()) == 100
        assert torch.isin(part.ids, mine.records.ids).all()
    assert len({tuple(part.ids.tolist()) for part in drawn}) == 6
    again = mine.draw(cells, "natural", Stream(0) / 3)
    assert torch.equal(again.ids, drawn[3].ids)


def test_fixed_labels_have_the_same_share_in_both_populations() -> None:
    mine = pool(2000, 2)
    for ratio in (0.1, 0.9):
        part = mine.draw(quotas(200, ratio, [0.75, 0.25]), "fixed", Stream(0))
        assert int(part.z.sum()) == 200 * ratio
        assert abs(int(part.y.sum()) - 50) <= 1


def test_what_the_pools_cannot_give_is_refused() -> None:
    pools = [pool(100, 0, share=0.1)]
    rare = int(pools[0].records.z.sum())
    most = largest_size(pools, (0.1, 0.9), "natural", None)
    assert most <= rare / 0.9 < most + 10
    with pytest.raises(IncompatibleError, match=f"0.1 and 0.9 have group = 1; the most is {most}"):
        agreed_size(most + 10, pools, (0.1, 0.9), "natural", None)
    with pytest.raises(IncompatibleError, match="must be a multiple of 10"):
        agreed_size(5, pools, (0.1, 0.9), "natural", None)
    with pytest.raises(IncompatibleError, match="the most is 0"):
        agreed_size(None, [pool(8)], (0.1, 0.9), "natural", None)
    assert agreed_size(most, pools, (0.1, 0.9), "natural", None) == most


def test_without_a_size_half_of_the_largest_is_drawn() -> None:
    pools = [pool(1000)]
    most = largest_size(pools, (0.1, 0.9), "natural", None)
    found = agreed_size(None, pools, (0.1, 0.9), "natural", None)
    assert found % 10 == 0
    assert most / 2 - 10 < found <= most / 2


def test_ratios_have_three_decimals_at_most() -> None:
    for ratio in (0.0, 0.125, 1 / 3, 1.0):
        check_ratio("ratio_1", ratio)
    with pytest.raises(SettingError, match=r"`ratio_1` must have at most three decimal places, got 0.12345"):
        check_ratio("ratio_1", 0.12345)
    with pytest.raises(SettingError, match=r"`ratio_2` must satisfy 0 <= ratio_2 <= 1, got 10"):
        check_ratio("ratio_2", 10)
