"""Training many models of one recipe at once."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import cast

import torch

from amulet.core.reporting import Reporter
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.recipe import Recipe, Trained
from amulet.training.store import Stored

_Job = tuple[Records, Stream, str]


def produce_many(recipe: Recipe, records: Sequence[Records], streams: Sequence[Stream], label: str) -> list[Trained]:
    """One model for each pair of records and stream, each under its own key in the store.

    On the CPU by worker processes of one thread each; elsewhere one after the other.
    """
    if len(records) != len(streams):
        raise ValueError(f"`streams` must have one entry for each of {len(records)} tables, got {len(streams)}")
    runtime = recipe.runtime
    keys = [recipe.key(part, stream) for part, stream in zip(records, streams, strict=True)]
    made: dict[str, tuple[Stored, bool]] = {}
    for key in keys:
        stored = runtime.store.load(key)
        if stored is not None:
            made[key] = stored, True
    jobs = [job for job in zip(records, streams, keys, strict=True) if job[2] not in made]
    if len(jobs) < len(keys):
        runtime.reporter.note(f"{label}: {len(keys) - len(jobs)} of {len(keys)} loaded, trained before")
    if jobs:
        silent = recipe.changed(runtime=dataclasses.replace(runtime, reporter=Reporter(), workers=1))
        workers = min(runtime.workers, len(jobs)) if runtime.device.type == "cpu" else 1
        with runtime.reporter.stage(label, len(jobs), "model") as stage:
            for key, stored in _in_workers(silent, jobs, workers) if workers > 1 else _in_turn(silent, jobs):
                made[key] = stored, False
                if workers > 1 and not runtime.store.shared:
                    runtime.store.save(key, stored)
                stage.advance(1)
    return [
        recipe.restore(made[key][0], part.shape, key, loaded=made[key][1])
        for key, part in zip(keys, records, strict=True)
    ]


def _in_turn(recipe: Recipe, jobs: Sequence[_Job]) -> Iterator[tuple[str, Stored]]:
    for records, stream, key in jobs:
        yield key, recipe.make(records, stream, key)[0]


def _one(recipe: Recipe, job: _Job) -> tuple[str, Stored]:
    torch.set_num_threads(1)
    records, stream, key = job
    return key, recipe.make(records, stream, key)[0]


def _in_workers(recipe: Recipe, jobs: Sequence[_Job], workers: int) -> Iterator[tuple[str, Stored]]:
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")
    made = parallel(delayed(_one)(recipe, job) for job in jobs)
    yield from cast(Iterator[tuple[str, Stored]], made)
