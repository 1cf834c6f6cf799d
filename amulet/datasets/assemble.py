"""From tensors to an `AmuletDataset`: the split into train and test, limits, digests, the notes in every result."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset, Modality
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split

_FEW = 10  # records of a class: under that many its accuracy has an interval of half the range
_UNEVEN = 0.2  # of an equal share: a class with less is rare; in a data set of few records none is


def assemble(
    *,
    name: str,
    modality: Modality,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    attributes: Sequence[str],
    parts: Sequence[Tensor],
    num_classes: int,
    origin: str,
    stream: Stream,
    limit: int | None = None,
    labels: Sequence[str] = (),
    values: Mapping[str, Sequence[str]] | None = None,
    warnings: Sequence[str] = (),
    notes: Mapping[str, Any] | None = None,
    **more: Any,
) -> AmuletDataset:
    """A data set whose records are numbered by their position in `x`.

    Args:
        name: what results call it.
        modality: `tabular` or `image`.
        x: inputs (n, *shape): float32 in [0, 1] or uint8. A part of consecutive records stays a view of it, so a
            memory-mapped `x` stays on disk.
        y: labels (n,), int64.
        z: sensitive attributes (n, k), int64.
        attributes: names of the k columns of `z`.
        parts: positions of the training and of the test records.
        num_classes: the number of labels.
        origin: what determines the content: names, checksums and every setting of the loader except `limit`.
        stream: the loader's random stream; `limit` draws from it.
        limit: at most this many training and this many test records, stratified by label.
        labels: the meaning of each label, if anybody said.
        values: the meaning of each value by attribute, if anybody said.
        warnings: what the loader has to say.
        notes: what the loader adds to every result besides sizes and proportions.
        more: the other fields of `AmuletDataset`.
    """
    made: list[Records] = []
    names = tuple(tuple((values or {}).get(attribute, ())) for attribute in attributes)
    for i, whole in enumerate(parts):
        part = whole
        if limit is not None and limit < len(part):
            part = part[stratified_split(y[part], [limit], (stream / "limit" / i).generator())[0]]
        digest = hashlib.sha256(f"{origin} {limit} {i}".encode()).hexdigest()
        place = _neighbours(part)
        made.append(Records(x[place], y[place], z[place], part, tuple(attributes), None, digest, names))
    train, test = made
    named = {"labels": list(labels)} if labels else {}
    named |= {"values": {name: list(known) for name, known in values.items()}} if values else {}
    return AmuletDataset(
        name=name,
        modality=modality,
        train=train,
        test=test,
        num_classes=num_classes,
        warnings=(*warnings, *_limits_nothing(limit, parts), *_rare(y, parts, num_classes, labels)),
        notes={
            **(notes or {}),
            **named,
            **{p: _proportions(r, num_classes) for p, r in (("train", train), ("test", test))},
        },
        **more,
    )


def _limits_nothing(limit: int | None, parts: Sequence[Tensor]) -> list[str]:
    if limit is None or limit <= max(map(len, parts)):
        return []
    found = " and ".join(
        f"{len(part):,} {name}" for name, part in zip(("training", "test records"), parts, strict=True)
    )
    return [f"dataset.limit={limit} limits nothing: there are {found}."]


def _rare(y: Tensor, parts: Sequence[Tensor], num_classes: int, labels: Sequence[str]) -> list[str]:
    """Classes with so few records that nothing can be learned or said about them."""
    counts = [y[part].bincount(minlength=num_classes).tolist() for part in parts]
    least = [min(_FEW, _UNEVEN * len(part) / num_classes) for part in parts]
    return [
        f"class {labels[label] if label < len(labels) else label} has {train} of {len(parts[0]):,} training records "
        f"and {test} of {len(parts[1]):,} test records: no number here says anything about it; add records, join it "
        "with another class, or leave it out."
        for label, (train, test) in enumerate(zip(*counts, strict=True))
        if train < least[0] or test < least[1]
    ]


def _neighbours(part: Tensor) -> Tensor | slice:
    """Consecutive positions as a slice, which copies nothing."""
    if len(part) and bool((part == torch.arange(int(part[0]), int(part[0]) + len(part))).all()):
        return slice(int(part[0]), int(part[0]) + len(part))
    return part


def _proportions(records: Records, num_classes: int) -> dict[str, Any]:
    def share(values: Tensor, count: int) -> float | list[float]:
        shares = (values.bincount(minlength=count) / max(len(values), 1)).double()
        return round(shares[1].item(), 4) if count == 2 else [round(s, 4) for s in shares.tolist()]

    of_attributes = {
        name: share(values, max(2, int(values.max()) + 1))
        for name in records.attributes
        if len(values := records.attribute(name))
    }
    label = {"positive": share(records.y, 2)} if num_classes == 2 else {"classes": share(records.y, num_classes)}
    return {"records": len(records), **label, **of_attributes}
