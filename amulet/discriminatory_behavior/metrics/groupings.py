"""How records divide into groups: by each attribute, and by all of them together."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amulet.core.intervals import wilson
from amulet.discriminatory_behavior.metrics.evidence import BehaviorEvidence

INTERSECTION = "intersection"
"""The name of the grouping by all attributes together."""


class Grouping(NamedTuple):
    """How the records divide into groups."""

    name: str
    """An attribute, or `intersection`."""
    of: Tensor
    """(n,): the group of each record."""
    names: tuple[str, ...]
    """Of each group in words: `Black`, or `Black and Female`."""
    single: bool
    """Whether it is that of one attribute: only these decide."""

    @property
    def sizes(self) -> Tensor:
        """(k,): the number of records of each group."""
        return self.of.bincount(minlength=len(self.names))


def groupings(evidence: BehaviorEvidence) -> Iterator[Grouping]:
    """By each attribute, then by all of several together, if `intersections` is set."""
    for place, name in enumerate(evidence.attributes):
        yield _grouping(evidence, name, [place])
    if evidence.intersections and len(evidence.attributes) > 1:
        yield _grouping(evidence, INTERSECTION, range(len(evidence.attributes)))


def intersections(evidence: BehaviorEvidence) -> list[dict[str, Any]]:
    """Every intersection with its size and accuracy, the worst answered first, however small it is.

    The intervals are score intervals (Wilson, 1927), which bear small groups, and hold together: all of them cover
    their group's accuracy in 95 of 100 samples (Sidak, 1967).
    """
    from scipy.special import ndtri

    found: list[dict[str, Any]] = []
    for grouping in groupings(evidence):
        if grouping.single:
            continue
        sizes = grouping.sizes
        right = (evidence.answers == evidence.labels).double()
        hits = torch.bincount(grouping.of, right, minlength=len(sizes))
        quantile = float(ndtri(0.5 + 0.5 * 0.95 ** (1 / len(sizes))))
        ends = zip(*wilson(hits.numpy(), sizes.numpy(), quantile), strict=True)
        for name, size, hit, (low, high) in zip(grouping.names, sizes.tolist(), hits.tolist(), ends, strict=True):
            interval = [round(float(low), 4), round(float(high), 4)]
            found.append({"group": name, "records": size, "accuracy": round(hit / size, 4), "interval": interval})
    return sorted(found, key=lambda one: one["accuracy"])


def _grouping(evidence: BehaviorEvidence, name: str, columns: "range | list[int]") -> Grouping:
    values, of = torch.unique(evidence.groups[:, list(columns)], dim=0, return_inverse=True)
    attributes = [evidence.attributes[i] for i in columns]
    names = tuple(
        " and ".join(_word(evidence, *pair) for pair in zip(attributes, row, strict=True)) for row in values.tolist()
    )
    return Grouping(name, of, names, name in evidence.attributes)


def _word(evidence: BehaviorEvidence, attribute: str, value: int) -> str:
    known = dict(zip(evidence.attributes, evidence.value_names, strict=False)).get(attribute, ())
    return known[value] if 0 <= value < len(known) else f"{attribute} {value}"
