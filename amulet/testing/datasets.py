"""Does a data set keep to its contract?"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch

from amulet.assessment.combinations import DataFacts
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.testing.problems import blamed, settle
from amulet.testing.schema import Yaml, function_problems, read
from amulet.testing.traces import watched


def check_dataset(loader: Callable[..., AmuletDataset], yaml: Yaml | None = None, **settings: Any) -> None:
    """Load a data set twice.

    Inputs are bytes or floats in [0, 1]; labels begin at 0 and every class is among the training records; no record is
    in both parts; sensitive attributes are named columns of whole numbers; it is the same every time; its option
    lists its settings, and says truly what it is like (`about.data`) where it says so.

    Args:
        loader: a function with keyword-only settings.
        yaml: its option: a file, or its content.
        settings: how to load it, such as `limit=500`.

    Raises:
        AssertionError: everything that is wrong.
    """
    who = getattr(loader, "__name__", type(loader).__name__)
    if yaml is not None:
        settle(who, function_problems(loader, yaml))
    problems: list[str] = []
    with blamed(who, "it is loaded"):
        first: Any = loader(**settings)
    if not isinstance(first, AmuletDataset):
        raise AssertionError(f"{who} must return an AmuletDataset, it returns {type(first).__name__}")
    with blamed(who, "it is loaded again"), watched(problems, first, seed=1):
        second = loader(**settings)
    for part in ("train", "test"):
        if getattr(first, part).digest != getattr(second, part).digest:
            problems.append(f"`{part}` is not the same every time")
        problems += (f"`{part}`: {text}" for text in _records_problems(getattr(first, part), first.num_classes))
    problems += _whole_problems(first)
    if yaml is not None:
        problems += _facts_problems(first, read(yaml))
    settle(who, problems)


def _records_problems(records: Records, classes: int) -> Iterator[str]:
    x = records.x
    if x.dtype not in (torch.uint8, torch.float32):
        yield f"inputs must be uint8 or float32, they are {x.dtype}"
    elif x.is_floating_point() and not bool(((x >= 0) & (x <= 1)).all()):
        yield f"inputs must be in [0, 1], they are in [{x.min():g}, {x.max():g}]"
    for name in ("y", "z", "ids"):
        if (kept := getattr(records, name)).dtype != torch.int64:
            yield f"`{name}` must be int64, it is {kept.dtype}"
    if len(records.ids.unique()) != len(records) or (len(records) and records.ids.min() < 0):
        yield "ids must be unique, none negative"
    if records.y.min() < 0 or records.y.max() >= classes:
        yield f"labels must be 0 to {classes - 1}, they are {int(records.y.min())} to {int(records.y.max())}"
    if records.z.numel() and records.z.min() < 0:
        yield "sensitive attributes must not be negative"


def _whole_problems(data: AmuletDataset) -> Iterator[str]:
    missing = sorted(set(range(data.num_classes)) - set(data.train.y.tolist()))
    if missing:
        yield f"no training record is of class {', '.join(map(str, missing))}"
    if data.train.attributes != data.test.attributes:
        yield "train and test have other sensitive attributes"
    for name in data.attributes:
        if not name or len(data.train.attribute(name).unique()) < 2:
            yield f"the sensitive attribute `{name}` must have a name and two values at least"
    if len(data.shape) != (3 if data.modality == "image" else 1):
        yield f"records of modality {data.modality} must not have inputs of shape {data.shape}"
    if data.feature_names and len(data.feature_names) != data.shape[0]:
        yield f"there are {len(data.feature_names)} feature names for {data.shape[0]} columns"


def _facts_problems(data: AmuletDataset, option: Mapping[str, Any]) -> Iterator[str]:
    said = cast(Mapping[str, Any], option.get("about") or {}).get("data")
    if not said:
        return
    facts = DataFacts.of(data)
    for name in ("modality", "shape", "classes", "attributes", "categorical"):
        is_ = getattr(facts, name)
        listed = said.get(name, ())
        if (tuple(listed) if isinstance(listed, (list, tuple)) else listed) != is_:
            yield f"its option says `about.data.{name}: {listed}`, it is {is_}"
