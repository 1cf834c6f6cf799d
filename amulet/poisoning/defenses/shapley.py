"""Exact Shapley values of training records for a k-nearest-neighbour classifier (Jia et al., VLDB 2019)."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amulet.core.errors import DataError, in_range

_BLOCK = 1 << 21  # distances sorted at once: 16 MB for each array of a block
_COPY = 1 << 26  # float64 numbers held for products: 512 MB


def knn_shapley(
    features: Tensor, labels: Tensor, reference: Tensor, reference_labels: Tensor, k: int = 5
) -> NDArray[np.float64]:
    """What each record contributes to a kNN classifier's accuracy on reference records.

    The utility of a set is the mean over the reference records of the share, in k, of their k nearest neighbours
    in the set that have the right label (Jia et al., VLDB 2019, equation 5; for several reference records their
    equation 8); the Shapley value of every record follows from one sort of distances (their Theorem 1).

    Squared Euclidean distances are computed in float64 and rounded to as many bits as a 64-bit integer has room for
    beside a position (39 of the mantissa for 10,000 records: 12 digits). Equal ones are ordered by the position of the
    record, and records with the same features are always equally far.

    Args:
        features: (n, *shape) of any type, finite; the records to value.
        labels: (n,) integers.
        reference: (m, *shape), finite; the records to classify.
        reference_labels: (m,) integers.
        k: the number of neighbours that vote, at least 1.

    Returns:
        (n,) values; their sum is the utility of all records.

    Raises:
        DataError: features that are not finite, or no records on one side.

    >>> x, y = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([1, 0, 1])
    >>> knn_shapley(x, y, torch.tensor([[0.0]]), torch.tensor([1]), k=1).round(4).tolist()
    [0.8333, -0.1667, 0.3333]
    """
    in_range("k", k, 1)
    n, m = len(features), len(reference)
    if not n or not m:
        raise DataError(f"kNN-Shapley needs records on both sides, got {n} to value and {m} to value them by")
    train, tests = (part.detach().cpu().flatten(1) for part in (features, reference))
    if not bool(train.isfinite().all()) or not bool(tests.isfinite().all()):
        raise DataError("features must be finite for records to be valued by them; the model may have diverged")
    known, wanted = _numpy(labels, np.int64), _numpy(reference_labels, np.int64)
    twins = _twins(train)
    bits = max(n - 1, 1).bit_length()
    low, half = np.uint64((1 << bits) - 1), np.uint64(1 << (bits - 1))
    position = np.arange(n, dtype=np.uint64)
    gain, loss = _weights(n, k)
    values = np.zeros(n)
    for block, distance in _distances(train, tests, max(1, min(m, _BLOCK // n))):
        key = distance.clamp_(min=0).numpy()
        key[:, twins[0]] = key[:, twins[1]]
        order = key.view(np.uint64)  # non-negative floats sort like their bits
        order <<= np.uint64(1)
        order += half  # rounded, not cut: equal distances that differ by rounding errors stay equal
        order &= ~low
        order |= position
        order.sort(axis=1)
        order &= low
        nearest = order.view(np.int64)
        right = (known[nearest] == wanted[block, None]).astype(np.float64)
        share = right * gain
        right *= loss
        share -= np.cumsum(right[:, ::-1], axis=1)[:, ::-1]
        values += np.bincount(nearest.ravel(), weights=share.ravel(), minlength=n)
    return values / m


def _weights(n: int, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Theorem 1 without its recursion, (n,) each.

    With r_i = 1 where the i-th nearest record has the right label, s_i = gain_i r_i - sum over j >= i of loss_j r_j.
    """
    rank = np.arange(1, n + 1, dtype=np.float64)
    far = rank > k
    gain = np.where(far, 1 / np.maximum(rank - 1, 1), 1 / k)
    loss = np.where(far, 1 / np.maximum(rank * (rank - 1), 1), 0.0)
    return gain, loss


def _distances(train: Tensor, tests: Tensor, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances (b, n) of `rows` tests after another from all of `train`, and the place of these tests.

    Products are of float64 copies centred at the mean of `train`, for less cancellation. Where these would be
    large, as with images for features, they are made of some columns at a time, for as many tests as there is room.
    """
    n, m, width = len(train), len(tests), train.shape[1]
    centre = train.mean(dim=0, dtype=torch.float64)

    def squared(some: Tensor, square: Tensor, others: Tensor, squares: Tensor) -> Tensor:
        return torch.addmm(squares, some, others.T, alpha=-2).add_(square.unsqueeze(1))

    def copied(table: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
        copy = table[:, columns].double() - centre[columns]
        return copy, copy.square().sum(dim=1)

    if (n + m) * width <= _COPY:
        (others, squares), (every, square) = copied(train, slice(None)), copied(tests, slice(None))
        for start in range(0, m, rows):
            block = slice(start, start + rows)
            yield block, squared(every[block], square[block], others, squares)
        return
    together = max(1, _COPY // n // rows) * rows
    step = max(1, _COPY // (n + together))
    for first in range(0, m, together):
        group = tests[first : first + together]
        total = torch.zeros(len(group), n, dtype=torch.float64)
        for start in range(0, width, step):
            columns = slice(start, start + step)
            total += squared(*copied(group, columns), *copied(train, columns))
        for start in range(0, len(group), rows):
            yield slice(first + start, min(first + start + rows, m)), total[start : start + rows]


def _twins(rows: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of rows that repeat an earlier row, and of the row that each repeats. Minus zero is zero."""
    plain = rows + 0 if rows.is_floating_point() else rows
    content = plain.contiguous().view(torch.uint8).numpy()
    _, first, group = np.unique(content.view((np.void, content.shape[1])), return_index=True, return_inverse=True)
    original = first[group.ravel()]
    repeats = np.flatnonzero(original != np.arange(len(rows)))
    return repeats, original[repeats]


def _numpy(values: Tensor, dtype: type[np.int64]) -> NDArray[np.int64]:
    return values.detach().cpu().numpy().astype(dtype)
