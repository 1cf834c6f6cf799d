"""Training many models of one recipe at once."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch

from amulet.core.reporting import Reporter
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.arithmetic import step_cost
from amulet.training.base_recipe import BaseRecipe, Trained
from amulet.training.parallel.stacked import make_stack, stack_size, why_not
from amulet.training.store import MemoryStore, Stored

_Job = tuple[Records, Stream, str]
_UPDATE = 5e-4  # seconds that an update of the weights takes beside its products
_RATE = 2e10  # products and sums of one thread in a second
_START = 5.0  # seconds of training that pay for starting processes, in each of which torch is loaded


def produce_many(
    recipe: BaseRecipe, records: Sequence[Records], streams: Sequence[Stream], label: str
) -> list[Trained]:
    """One model for each pair of records and stream, each under its own key in the store.

    On the CPU in single-threaded worker processes unless all of it takes a few seconds, on CUDA stacked, elsewhere one
    after the other. All methods give the same models up to rounding in the recipe's precision; the choice depends on
    the device, the recipe and the records, not on a timing (`benchmarks/fit_many.py` has the measurement).
    """
    if len(records) != len(streams):
        raise ValueError(f"`streams` must have one entry for each of {len(records)} tables, got {len(streams)}")
    runtime = recipe.runtime
    keys = [recipe.key(part, stream) for part, stream in zip(records, streams, strict=True)]
    made: dict[str, tuple[Stored, bool]] = {}
    for key in dict.fromkeys(keys):
        stored = runtime.store.load(key)
        if stored is not None:
            made[key] = stored, True
    jobs = {job[2]: job for job in zip(records, streams, keys, strict=True) if job[2] not in made}
    if made:
        runtime.reporter.reused("model", f"{label}: {len(made)} of {len(set(keys))} loaded, trained before", len(made))
    if jobs:
        with runtime.reporter.stage(label, len(jobs), "model") as stage:
            for key, stored in _trained(recipe, list(jobs.values()), label):
                made[key] = stored, False
                stage.advance(1)
    return [
        recipe.restore(made[key][0], part.shape, key, loaded=made[key][1])
        for key, part in zip(keys, records, strict=True)
    ]


def _trained(recipe: BaseRecipe, jobs: Sequence[_Job], label: str) -> Iterator[tuple[str, Stored]]:
    runtime = recipe.runtime
    silent = recipe.changed(runtime=dataclasses.replace(runtime, reporter=Reporter(), workers=1))
    workers = min(runtime.workers, len(jobs))
    if runtime.device.type == "cpu" and workers > 1:
        if pays(silent, jobs[0][0], len(jobs)):
            return _in_workers(silent, jobs, workers)
        return map(partial(_one, silent), jobs)
    if runtime.device.type == "cuda" and len(jobs) > 1:
        reason = why_not(silent, jobs[0][0])
        if reason is None:
            return in_stacks(silent, jobs, label)
        runtime.reporter.note(f"{label}: trained one after the other, because {reason}")
    return _in_turn(silent, jobs)


def pays(recipe: BaseRecipe, records: Records, count: int) -> bool:
    """Whether training so many models on such records takes longer than starting processes for it; known by estimate.

    Of defended models and estimators nothing is known, so it does.
    """
    if recipe.is_defended or not recipe.differentiable:
        return True
    updates = count * recipe.epochs * max(math.ceil(len(records) / recipe.batch_size), recipe.min_updates)
    if updates * _UPDATE > _START:
        return True
    example = records.batch(slice(0, 1)).to("cpu").inputs()
    work = step_cost(recipe.build(records.shape, Stream(0)), example) * min(recipe.batch_size, len(records))
    return updates * (_UPDATE + work / _RATE) > _START


def _in_turn(recipe: BaseRecipe, jobs: Sequence[_Job]) -> Iterator[tuple[str, Stored]]:
    for records, stream, key in jobs:
        yield key, recipe.make(records, stream, key)[0]


def in_stacks(recipe: BaseRecipe, jobs: Sequence[_Job], label: str) -> Iterator[tuple[str, Stored]]:
    """Jobs with equally many records together, in stacks that the device's memory holds."""
    groups: dict[tuple[object, ...], list[_Job]] = {}
    for job in jobs:
        table = job[0]
        groups.setdefault((len(table), table.shape, table.x.dtype, table.targets is None), []).append(job)
    for group in groups.values():
        size = stack_size(recipe, group[0][0])
        for start in range(0, len(group), size):
            part = group[start : start + size]
            yield from make_stack(recipe, part, label) if len(part) > 1 else _in_turn(recipe, part)


def _one(recipe: BaseRecipe, job: _Job) -> tuple[str, Stored]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return job[2], recipe.make(*job)[0]
    finally:
        torch.set_num_threads(threads)


def _in_workers(recipe: BaseRecipe, jobs: Sequence[_Job], workers: int) -> Iterator[tuple[str, Stored]]:
    """By processes that joblib keeps warm from call to call; only a few jobs' records are on their way at a time."""
    from joblib import Parallel, delayed

    runtime = recipe.runtime
    if not runtime.store.shared:  # whatever is stored here would be sent with every job
        recipe = recipe.changed(runtime=dataclasses.replace(runtime, store=MemoryStore()))
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")
    made = parallel(delayed(_one)(recipe, job) for job in jobs)
    for key, stored in cast(Iterator[tuple[str, Stored]], made):
        if not runtime.store.shared:
            runtime.store.save(key, stored)
        yield key, stored
