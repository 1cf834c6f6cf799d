"""The same work on many items at once, in single-threaded worker processes if the device is the CPU."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

import torch

from amulet.training.runtime import Runtime

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_workers(function: Callable[[Item], Result], items: Sequence[Item], runtime: Runtime) -> Iterator[Result]:
    """Results in the order of the items; in this process if there is one worker, one item or another device.

    Both give the same results: work on one item uses one thread and must not depend on other items.
    """
    workers = min(runtime.workers, len(items))
    if runtime.device.type != "cpu" or workers < 2:
        yield from map(function, items)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=workers, return_as="generator", pre_dispatch="2*n_jobs")
    yield from cast(Iterator[Result], parallel(delayed(_on_one_thread)(function, item) for item in items))


def _on_one_thread(function: Callable[[Item], Result], item: Item) -> Result:
    torch.set_num_threads(1)
    return function(item)
