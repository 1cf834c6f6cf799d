"""The data and model sheet: what was trained on what, under which settings, where, and the results' digest."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from amulet.core.component import in_words
from amulet_cli.analysis.names import defense_name, setting_title, spaced
from amulet_cli.analysis.origins import TRAINING, environments, split_sizes
from amulet_cli.analysis.rows import RunGroup
from amulet_cli.base.serialize import as_text, flat
from amulet_cli.config.options import find_options
from amulet_cli.results.result import VICTIMS
from amulet_cli.results.seal import digest

_PARTS = {"victim": "records to train the model", "adversary": "records of the attacker", "test": "records to test it"}


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What a model card has to say, as far as results know it."""

    data: str
    """In a line."""
    data_name: str
    source: str
    licence: str
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    columns: int
    records: Mapping[str, int]
    """By what they are for."""
    model: str
    model_name: str
    defense: str
    """In words; empty without one."""
    made_for: tuple[str, ...]
    """The risks that the defence is made for, by name."""
    settings: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    versions: tuple[tuple[str, str], ...]
    runs: tuple[tuple[str, str], ...]
    """By folder, in short, the SHA-256 of its `metrics.json`."""
    digest: str
    """The SHA-256 of these, sorted: other results have another."""


def sheet_of(cells: Sequence[RunGroup], victim: str) -> Sheet:
    """From the runs of the served model."""
    runs = [run for cell in cells for run in cell.runs.values()]
    first = runs[0]
    dataset = _mapping(first.manifest.get("dataset"))
    option = next((one for one in find_options(only="dataset") if one.name == first.choices.get("dataset")), None)
    config = flat(first.config)
    defenses = first.facts.defenses if victim == VICTIMS[1] else ()
    digests = sorted(("/".join(run.folder.parts[-6:]), digest(run.folder / "metrics.json")) for run in runs)
    return Sheet(
        data=option.line if option else first.setting[0],
        data_name=first.setting[0],
        source=option.source if option else "",
        licence=as_text(dataset.get("licence")),
        classes=_texts(dataset.get("labels")),
        attributes=tuple(map(spaced, _mapping(dataset.get("values")))),
        columns=len(_texts(dataset.get("columns"))),
        records={_PARTS[part]: size for part, size in split_sizes(first).items()},
        model=in_words(as_text(config.get("model._target_"))) or first.setting[1],
        model_name=first.setting[1],
        defense=defense_name(defenses),
        made_for=tuple(one.risk for one in defenses),
        settings=tuple(_settings(config, bool(defenses))),
        seeds=tuple(sorted({run.seed for run in runs})),
        versions=tuple(environments(runs)),
        runs=tuple(digests),
        digest=hashlib.sha256("\n".join(f"{name} {value}" for name, value in digests).encode()).hexdigest(),
    )


def _settings(config: Mapping[str, Any], defended: bool) -> Iterator[tuple[str, str]]:
    groups = ("model.", "defense.", "second_defense.") if defended else ("model.",)
    for key, value in config.items():
        if key in TRAINING or (key.startswith(groups) and not key.endswith("_target_")):
            made = key.endswith("_target_")
            if text := as_text(value).rpartition(".")[2] if made else as_text(value):
                yield key.partition(".")[0] if made else setting_title(key), text
    if checkpoint := config.get("checkpoint.sha256"):
        yield "checkpoint (SHA-256)", as_text(checkpoint)


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(as_text, cast(Sequence[Any], value))) if isinstance(value, (list, tuple)) else ()
