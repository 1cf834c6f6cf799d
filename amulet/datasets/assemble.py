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
        notes: what the loader adds to every result besides sizes and proportions.
        more: the other fields of `AmuletDataset`.
    """
    made: list[Records] = []
    for i, whole in enumerate(parts):
        part = whole
        if limit is not None and limit < len(part):
            part = part[stratified_split(y[part], [limit], (stream / "limit" / i).generator())[0]]
        digest = hashlib.sha256(f"{origin} {limit} {i}".encode()).hexdigest()
        place = _neighbours(part)
        made.append(Records(x[place], y[place], z[place], part, tuple(attributes), None, digest))
    train, test = made
    return AmuletDataset(
        name=name,
        modality=modality,
        train=train,
        test=test,
        num_classes=num_classes,
        notes={**(notes or {}), **{p: _proportions(r, num_classes) for p, r in (("train", train), ("test", test))}},
        **more,
    )


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
