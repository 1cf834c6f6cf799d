"""A Poisson sample by its gaps is one by a throw for each record."""

import pytest
import torch
from scipy import stats

from amulet.core import Stream
from amulet.membership_inference.defenses.dp_sgd import poisson_sample

RECORDS, DRAWS = 400, 4000


@pytest.mark.parametrize("rate", [0.003, 0.1, 0.9])
def test_each_record_is_drawn_alone_and_as_often(rate: float) -> None:
    generator = (Stream(0) / "sample").generator()
    drawn = torch.zeros(DRAWS, RECORDS)
    for row in drawn:
        places = poisson_sample(RECORDS, rate, generator)
        assert (places.diff() > 0).all()
        row[places] = 1
    sizes = drawn.sum(dim=1).numpy()
    binomial = stats.binom(RECORDS, rate)
    assert abs(sizes.mean() - binomial.mean()) < 5 * binomial.std() / DRAWS**0.5
    assert sizes.var() == pytest.approx(binomial.var(), rel=0.15)
    each = drawn.mean(dim=0)  # its spread over records is that of a share of DRAWS
    assert each.std().item() == pytest.approx((rate * (1 - rate) / DRAWS) ** 0.5, rel=0.2)
    together = (drawn[:, :-1] * drawn[:, 1:]).mean().item()  # neighbours know nothing of each other
    assert together == pytest.approx(rate**2, abs=5 * (rate**2 / (DRAWS * RECORDS)) ** 0.5)


def test_the_ends_of_the_range() -> None:
    generator = torch.Generator().manual_seed(0)
    assert poisson_sample(5, 1.0, generator).tolist() == [0, 1, 2, 3, 4]
    assert poisson_sample(1, 1e-9, generator).tolist() == []
    long = poisson_sample(1_000_000, 0.5, generator)
    assert 498_000 < len(long) < 502_000
    assert long.max() < 1_000_000
