"""kNN-Shapley: against its definition over all subsets, and against the recursion it is usually computed by."""

import itertools
import time
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from amulet.core import DataError, SettingError
from amulet.poisoning.defenses import knn_shapley, shapley


def utility(subset: tuple[int, ...], distances: NDArray[np.float64], right: NDArray[np.bool_], k: int) -> float:
    """Share, in k, of the k nearest members of a subset that have the right label; ties by position."""
    nearest = sorted(subset, key=lambda i: (distances[i], i))[:k]
    return sum(bool(right[i]) for i in nearest) / k


def by_definition(x: Tensor, y: Tensor, reference: Tensor, wanted: Tensor, k: int) -> NDArray[np.float64]:
    """The Shapley value of every player, from its contribution to every coalition of the others."""
    n, values = len(x), np.zeros(len(x))
    for point, label in zip(reference.double(), wanted, strict=True):
        distances, right = (x.double() - point).square().sum(1).numpy(), (y == label).numpy()
        for i in range(n):
            others = [j for j in range(n) if j != i]
            for size in range(n):
                for subset in itertools.combinations(others, size):
                    gain = utility((*subset, i), distances, right, k) - utility(subset, distances, right, k)
                    values[i] += gain / (n * comb(n - 1, size))
    return values / len(reference)


def by_recursion(x: Tensor, y: Tensor, reference: Tensor, wanted: Tensor, k: int) -> NDArray[np.float64]:
    """Theorem 1 of Jia et al. (VLDB 2019) as it is written, with a stable sort of exact differences."""
    n, values = len(x), np.zeros(len(x))
    features, labels = x.double().numpy(), y.numpy()
    for point, label in zip(reference.double().numpy(), wanted.numpy(), strict=True):
        order = np.argsort(((features - point) ** 2).sum(axis=1), kind="stable")
        right = (labels[order] == label).astype(float)
        s = np.zeros(n)
        s[n - 1] = right[n - 1] * min(k, n) / (k * n)
        for i in range(n - 1, 0, -1):  # the paper's alpha_i is order[i - 1]
            s[i - 1] = s[i] + (right[i - 1] - right[i]) / k * min(k, i) / i
        values[order] += s
    return values / len(reference)


@st.composite
def small_tasks(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    numbers, labels = st.integers(-2, 2), st.integers(0, 2)  # few values: many ties
    x = draw(st.lists(st.tuples(numbers, numbers), min_size=n, max_size=n))
    reference = draw(st.lists(st.tuples(numbers, numbers), min_size=m, max_size=m))
    y = draw(st.lists(labels, min_size=n, max_size=n))
    wanted = draw(st.lists(labels, min_size=m, max_size=m))
    tables = torch.tensor(x).float(), torch.tensor(y), torch.tensor(reference).float(), torch.tensor(wanted)
    return *tables, draw(st.integers(1, 4))


@given(small_tasks())
def test_it_is_the_shapley_value_by_definition(task: tuple[Tensor, Tensor, Tensor, Tensor, int]) -> None:
    np.testing.assert_allclose(knn_shapley(*task), by_definition(*task), atol=1e-12)


@given(small_tasks())
def test_values_sum_to_the_utility_of_all_records(task: tuple[Tensor, Tensor, Tensor, Tensor, int]) -> None:
    x, y, reference, wanted, k = task
    whole = [
        utility(tuple(range(len(x))), (x - point).square().sum(1).double().numpy(), (y == label).numpy(), k)
        for point, label in zip(reference, wanted, strict=True)
    ]
    assert knn_shapley(*task).sum() == pytest.approx(np.mean(whole), abs=1e-12)


def random_task(n: int, m: int, d: int, offset: float = 0.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, d, generator=generator).relu() + offset
    reference = torch.randn(m, d, generator=generator).relu() + offset
    y, wanted = (torch.randint(0, 3, (size,), generator=generator) for size in (n, m))
    return x, y, reference, wanted


@pytest.mark.parametrize(
    ("n", "d", "k", "offset"), [(400, 128, 5, 0), (300, 3, 1, 0), (50, 8, 60, 0), (300, 16, 5, 100)]
)
def test_it_agrees_with_the_recursion(n: int, d: int, k: int, offset: float) -> None:
    task = random_task(n, 60, d, offset)
    np.testing.assert_allclose(knn_shapley(*task, k), by_recursion(*task, k), atol=1e-12)


def test_records_with_equal_features_are_ordered_by_position() -> None:
    """A tenth of census' records repeat another's features: rounding must not decide between them."""
    x, y, reference, wanted = random_task(503, 97, 128)
    x[400:] = x[:103]
    y[400:] = (y[:103] + 1) % 3  # the twins disagree, so the order between them shows
    np.testing.assert_allclose(
        knn_shapley(x, y, reference, wanted), by_recursion(x, y, reference, wanted, 5), atol=1e-12
    )


def test_equal_distances_of_different_records_are_ordered_by_position() -> None:
    one_hot = torch.eye(12)[torch.randint(0, 12, (200,), generator=torch.Generator().manual_seed(0))]
    y, wanted = torch.arange(200) % 2, torch.tensor([0, 1, 1])
    reference = torch.eye(12)[[0, 3, 7]]
    expected = by_recursion(one_hot, y, reference, wanted, 5)
    np.testing.assert_allclose(knn_shapley(one_hot, y, reference, wanted), expected, atol=1e-12)


def test_minus_zero_is_zero() -> None:
    x = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [2.0, 2.0]])
    y, reference, wanted = torch.tensor([0, 1, 1]), torch.tensor([[0.3, 0.7]]), torch.tensor([1])
    expected = by_recursion(x, y, reference, wanted, 1)
    np.testing.assert_allclose(knn_shapley(x, y, reference, wanted, 1), expected, atol=1e-12)


@given(st.integers(0, 2**16), st.sampled_from([torch.float32, torch.float64, torch.uint8, torch.int64]))
def test_repeated_records_are_found_as_by_a_comparison_of_all_pairs(seed: int, dtype: torch.dtype) -> None:
    rows = torch.randint(0, 3, (30, 3), generator=torch.Generator().manual_seed(seed)).to(dtype)
    same = (rows.unsqueeze(0) == rows.unsqueeze(1)).all(dim=2)
    first = same.int().argmax(dim=1).numpy()
    repeats, originals = shapley._twins(rows)  # pyright: ignore[reportPrivateUsage]
    assert repeats.tolist() == np.flatnonzero(first != np.arange(30)).tolist()
    assert originals.tolist() == first[repeats].tolist()


def test_to_find_repeated_records_takes_less_than_to_go_through_all() -> None:
    rows = torch.rand(20_000, 8)
    began = time.process_time()
    for row in rows:
        row.numpy()
    middle = time.process_time()
    shapley._twins(rows)  # pyright: ignore[reportPrivateUsage]
    assert time.process_time() - middle < middle - began


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    task = random_task(120, 77, 8)
    whole = knn_shapley(*task)
    monkeypatch.setattr(shapley, "_BLOCK", 500)
    np.testing.assert_allclose(knn_shapley(*task), whole, atol=1e-15)


def test_identical_features_share_alike() -> None:
    x, y = torch.ones(10, 4), torch.tensor([1] * 5 + [0] * 5)
    values = knn_shapley(x, y, torch.ones(3, 4), torch.ones(3).long(), k=5)
    assert (values[:5] > 0).all()
    np.testing.assert_allclose(values, by_recursion(x, y, torch.ones(3, 4), torch.ones(3).long(), 5), atol=1e-12)


def test_what_cannot_be_valued_is_refused() -> None:
    x, y, reference, wanted = random_task(10, 5, 2)
    with pytest.raises(SettingError, match="`k` must satisfy"):
        knn_shapley(x, y, reference, wanted, 0)
    with pytest.raises(DataError, match="both sides, got 10 to value and 0"):
        knn_shapley(x, y, reference[:0], wanted[:0])
    x[3, 1] = float("nan")
    with pytest.raises(DataError, match="finite"):
        knn_shapley(x, y, reference, wanted)
