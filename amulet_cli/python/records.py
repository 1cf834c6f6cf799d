"""From what a user has in memory to a data set: frames, arrays, tensors, data sets of torch."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import DataError, SettingError
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset, Modality
from amulet.datasets.custom.column import Column
from amulet.datasets.custom.columns import attribute, classes
from amulet.victims import OwnTable, encoded

_IMAGE = 4  # dimensions of a batch of pictures
_UNLIKE = "`test` must have the columns of `train`, in the same order and of the same type"


@dataclass(frozen=True, eq=False)
class Part:
    """Training or test records, as their owner has them."""

    x: Any
    """Of a network: (n, *shape), in its own units; float32, or uint8 for pictures. Else a frame or an array."""
    y: np.ndarray
    sensitive: dict[str, np.ndarray]
    names: tuple[str, ...] = ()
    """Of the columns of a frame."""


@dataclass(frozen=True, eq=False)
class Assembled:
    """A data set, and the digest that names it."""

    data: AmuletDataset
    digest: str


@dataclass(frozen=True, eq=False)
class Given:
    """A data set in [0, 1], and how its inputs become the model's own again: ``low + x * span``."""

    data: AmuletDataset
    low: Tensor
    span: Tensor
    digest: str


Taken = Callable[[Any, str], Any]
"""Inputs as somebody gives them, and the name of the argument, to inputs as the model takes them."""


def part_of(
    given: Any,
    where: str,
    target: str | None,
    sensitive: Sequence[str],
    features: Sequence[str] | None,
    taken: Taken | None = None,
) -> Part:
    """Records of a frame with named columns, of ``(X, y)`` or ``(X, y, A)``, or of a data set of torch.

    Args:
        given: the records.
        where: the name of the argument.
        target: the column of classes of a frame.
        sensitive: columns of a frame, or the names of those of A.
        features: the columns of a frame that are inputs; None: all others.
        taken: what the model takes of the inputs; None: tensors of numbers.

    Raises:
        SettingError: columns are not there, or nothing says which is the target.
        DataError: the inputs are no numbers, or some are missing.
    """
    taken = taken or _numbers
    if isinstance(given, Dataset):
        batches = list(DataLoader(cast("Dataset[Any]", given), batch_size=4096))
        parts = [torch.cat([torch.as_tensor(batch[i]) for batch in batches]) for i in range(len(batches[0]))]
        return part_of(tuple(parts[:3]), where, None, sensitive, features, taken)
    if hasattr(given, "columns"):
        return _of_frame(given, where, target, sensitive, features, taken)
    if not (isinstance(given, (tuple, list)) and len(cast(Sequence[Any], given)) in (2, 3)):
        raise SettingError(f"`{where}` must be a frame, (X, y), (X, y, A) or a data set of torch, got {type(given)}")
    x, y, *a = cast(Sequence[Any], given)
    if bool(sensitive) != bool(a):
        raise SettingError(f"`sensitive_features` must name the columns of A in `{where}`=(X, y, A)")
    names = tuple(map(str, x.columns)) if hasattr(x, "columns") else ()
    table = np.asarray(a[0]) if a else np.zeros((len(y), 0))
    table = table.reshape(len(y), -1)
    if table.shape[1] != len(sensitive):
        raise SettingError(f"`sensitive_features` must name {table.shape[1]} columns, got {', '.join(sensitive)}")
    columns = {name: table[:, i] for i, name in enumerate(sensitive)}
    return Part(taken(x, where), np.asarray(y), columns, names)


def _of_frame(
    frame: Any, where: str, target: str | None, sensitive: Sequence[str], features: Sequence[str] | None, taken: Taken
) -> Part:
    if target is None:
        raise SettingError(f"`target` must name the column of classes of `{where}`")
    wanted = [target, *sensitive, *(features or ())]
    if lost := [name for name in wanted if name not in frame.columns]:
        raise SettingError(f"`{where}` has no column {', '.join(lost)}; it has {', '.join(map(str, frame.columns))}")
    inputs = list(features) if features else [name for name in frame.columns if name not in (target, *sensitive)]
    columns = {name: frame[name].to_numpy() for name in sensitive}
    return Part(taken(frame[inputs], where), frame[target].to_numpy(), columns, tuple(map(str, inputs)))


def as_table(x: Any, where: str) -> Any:
    """Inputs as an estimator takes them: a frame as it is, anything else as an array (n, columns).

    Raises:
        DataError: they are no table.
    """
    if hasattr(x, "columns"):
        return x.reset_index(drop=True)
    table = np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x.toarray() if hasattr(x, "toarray") else x)
    if table.ndim != 2:
        raise DataError(f"`{where}`: the inputs must be a table (n, columns), got {table.shape}")
    return table


def _numbers(x: Any, where: str) -> Tensor:
    if isinstance(x, Tensor):
        found = x.detach().cpu()
    else:
        try:
            table = np.array(x)  # a copy: torch takes no array that may not be written
            found = torch.from_numpy(table.astype(np.float64) if table.dtype == object else table)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"`{where}`: the inputs must be numbers, as the model takes them ({error}); encode texts first"
            ) from error
    found = found if found.dtype == torch.uint8 and found.dim() == _IMAGE else found.float()
    if not bool(torch.isfinite(found).all()):
        raise DataError(f"`{where}`: inputs are missing or infinite; fill them in, or leave these records out")
    return found


def data_of(train: Part, test: Part, outputs: int, name: str) -> Given:
    """A data set for assessments.

    Inputs beyond [0, 1] are scaled by the range that training and test records have together, so that nothing is cut
    off: each column of a table, each channel of pictures.

    Args:
        train: its records.
        test: with the same columns.
        outputs: the number of classes that the model tells apart; labels 0 .. k-1 stay as they are.
        name: what results call it.

    Raises:
        SettingError: train and test differ in their columns, or there are other classes than outputs.
    """
    if train.x.shape[1:] != test.x.shape[1:] or train.names != test.names or train.x.dtype != test.x.dtype:
        raise SettingError(_UNLIKE)
    x, low, span = _scaled(torch.cat([train.x, test.x]))
    image = x.dim() == _IMAGE
    more: dict[str, Any] = {"feature_names": () if image else train.names}
    made = _assembled(train, test, x, outputs, name, "image" if image else "tabular", [low, span], more)
    return Given(made.data, low, span, made.digest)


def table_of(train: Part, test: Part, outputs: int | None, name: str) -> tuple[Assembled, OwnTable]:
    """A data set of frames or arrays in the model's own columns, and the way back to these.

    Args:
        train: its records.
        test: with the same columns.
        outputs: the number of classes that the model tells apart; None: as many as there are.
        name: what results call it.

    Raises:
        SettingError: train and test differ in their columns, or there are other classes than outputs.
        DataError: numbers are missing.
    """
    import pandas as pd

    if train.names != test.names or train.x.shape[1:] != test.x.shape[1:]:
        raise SettingError(_UNLIKE)
    if hasattr(train.x, "columns"):
        array, frame = None, pd.concat([train.x, test.x], ignore_index=True)
    else:
        whole = np.concatenate([train.x, test.x])
        array, frame = whole.dtype, pd.DataFrame(whole, columns=[f"x{i}" for i in range(whole.shape[1])])
        frame = frame.infer_objects()
    inputs, view = encoded(frame, array=array)
    labels = np.concatenate([train.y, test.y])
    outputs = max(outputs or 2, len(pd.unique(labels)))
    more = {"feature_names": inputs.names, "groups": inputs.groups, "scales": inputs.scales}
    return _assembled(train, test, torch.from_numpy(inputs.x), outputs, name, "tabular", [], more), view


def _assembled(
    train: Part,
    test: Part,
    x: Tensor,
    outputs: int,
    name: str,
    modality: Modality,
    scale: Sequence[Tensor],
    more: Mapping[str, Any],
) -> Assembled:
    rows = np.arange(len(train.y))
    y, labels = _labels(np.concatenate([train.y, test.y]), outputs)
    values: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
    for key in train.sensitive:
        column = Column.of(np.concatenate([train.sensitive[key], test.sensitive[key]]))
        values[key] = attribute(column, key, None, rows)
    z = [torch.from_numpy(codes).long() for codes, _ in values.values()]
    z = torch.stack(z, dim=1) if z else torch.zeros(len(y), 0, dtype=torch.int64)
    digest = hashlib.sha256(repr((train.names, list(values))).encode())
    for tensor in (x, torch.from_numpy(y), z, *scale):
        digest.update(tensor.contiguous().numpy().tobytes())
    data = assemble(
        name=name,
        modality=modality,
        x=x,
        y=torch.from_numpy(y).long(),
        z=z,
        attributes=list(values),
        parts=torch.arange(len(y)).split([len(train.y), len(test.y)]),
        num_classes=outputs,
        origin=digest.hexdigest(),
        stream=Stream(0) / "data",
        labels=labels,
        values={key: names for key, (_, names) in values.items()},
        **more,
    )
    return Assembled(data, digest.hexdigest())


def _scaled(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs in [0, 1], and what makes them the model's own again; whatever lies there already stays as it is."""
    axes = [0, *range(2, x.dim())]
    shape = [1, x.shape[1], *[1] * (x.dim() - 2)]
    low, high = torch.zeros(shape), torch.ones(shape)
    if x.dtype != torch.uint8:
        low = torch.minimum(x.amin(dim=axes).reshape(shape), low)
        high = torch.maximum(x.amax(dim=axes).reshape(shape), high)
    if bool((low == 0).all()) and bool((high == 1).all()):
        return x, low, high - low
    return ((x.double() - low) / (high - low)).float().clamp(0, 1), low, high - low


def _labels(y: np.ndarray, outputs: int) -> tuple[np.ndarray, tuple[str, ...]]:
    if np.issubdtype(y.dtype, np.integer) and y.ndim == 1 and y.min() >= 0 and y.max() < outputs:
        return y.astype(np.int64), ()
    codes, names = classes(Column.of(y), "target", None)
    if len(names) != outputs:
        raise SettingError(
            f"the model tells {outputs} classes apart and `target` has {len(names)}: {', '.join(names[:5])}. "
            "A model with one output is to give two: torch.cat([torch.zeros_like(z), z], dim=1)"
        )
    return codes.astype(np.int64), names
