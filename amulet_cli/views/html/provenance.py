"""Where the numbers come from: data, machines, configurations, and the commands that make them again."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from amulet.core import Factory, SettingError
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import option_names, setting_name
from amulet_cli.analysis.rows import RunGroup, groups_of
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text, flat
from amulet_cli.results.result import CHOICES, Result, shaping


def set_up(report: Report) -> list[tuple[str, list[str]]]:
    """What was compared with what, in terms with their meanings."""
    cells = groups_of(report.rows)
    names = option_names(cells)
    runs = [run for cell in cells for run in cell.runs.values()]
    seeds = sorted({run.seed for run in runs})
    found = [("Data", _data(runs))]
    for name, group in (("Model", "model"), ("Defence", "defense"), ("Attack", "attack")):
        found.append((name, list(dict.fromkeys(_parts(runs, group, names)))))
    swept = [
        f"{key}: {', '.join(dict.fromkeys(as_text(cell.labels.get(key)) or 'not set' for cell in cells))}"
        for key in report.keys
    ]
    if swept:
        found.append(("Swept", swept))
    found.append(("The same in all runs", [f"{key}: {value}" for key, value in _common(report, cells)]))
    whole = len(seeds) > 2 and seeds == [*range(seeds[0], seeds[-1] + 1)]
    shown = f"{seeds[0]} to {seeds[-1]}" if whole else ", ".join(map(str, seeds))
    found.append(("Seeds", [f"{shown} ({format_numbers.plural(len(seeds), 'seed')})"]))
    hours = sum(sum(run.timings.values()) for run in runs)
    found.append(
        ("Machine", [*machines(runs), f"computed in {format_numbers.duration(hours)}, what was stored not counted"])
    )
    return [(term, meanings) for term, meanings in found if meanings]


def machines(runs: Sequence[Result]) -> list[str]:
    """Hardware and device, with how many runs each had."""
    names = [
        " · ".join(as_text(run.environment[key]) for key in ("hardware", "device") if run.environment.get(key))
        for run in runs
    ]
    count = Counter(name for name in names if name)
    return [f"{name}: {format_numbers.plural(n, 'run')}" for name, n in count.items()]


def versions(report: Report) -> list[tuple[str, str]]:
    """Every entry of the environments, with the number of runs where they differ."""
    runs = [run for cell in groups_of(report.rows) for run in cell.runs.values()]
    keys = dict.fromkeys(key for run in runs for key in run.environment)
    found: list[tuple[str, str]] = []
    for key in keys:
        count = Counter(as_text(run.environment.get(key)) or "not recorded" for run in runs)
        alone = len(count) == 1
        found.append((key, ", ".join(value if alone else f"{value} ({n} runs)" for value, n in count.items())))
    return found


def configurations(report: Report) -> tuple[str, list[tuple[str, list[tuple[str, str]]]]]:
    """The first cell's configuration as YAML, and of each other cell what it has otherwise."""
    import yaml

    cells = groups_of(report.rows)
    first = shaping(cells[0].config)
    text = yaml.safe_dump(first, sort_keys=False, allow_unicode=True)
    base = flat(first)
    others: list[tuple[str, list[tuple[str, str]]]] = []
    for cell in cells[1:]:
        config = flat(shaping(cell.config))
        keys = dict.fromkeys((*base, *config))
        differ = [(key, _value(config, key)) for key in keys if _value(config, key) != _value(base, key)]
        others.append((setting_name(cell.labels), differ))
    return text, others


def commands(report: Report) -> list[str]:
    """The fewest commands that run exactly these cells and seeds."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for cell in groups_of(report.rows):
        run = cell.first
        asked = {key: _typed(run.choices[key]) for key in CHOICES if key in run.choices}
        asked |= {key: _typed(value) for key, value in run.overrides.items() if key not in (*asked, "seed")}
        seeds = sorted(cell.runs)
        whole = len(seeds) > 1 and seeds == [*range(seeds[0], seeds[-1] + 1)]
        shown = f"range({seeds[0]},{seeds[-1] + 1})" if whole else ",".join(map(str, seeds))
        groups.setdefault((shown, *asked), []).append(asked)
    found: list[str] = []
    for (seeds, *_), asked in groups.items():
        for part in _products(asked):
            words = [f"{key}={','.join(values)}" for key, values in part.items() if values != ["none"]]
            words.append(f"seed={seeds}")
            several = any(len(values) > 1 for values in part.values()) or not seeds.isdigit()
            found.append(shlex.join(["amulet", "run", *(["-m"] if several else []), *words]))
    return found


def _products(asked: Sequence[Mapping[str, str]]) -> Iterator[dict[str, list[str]]]:
    """Settings as full products of values: all at once if they are one, else cut by the key with the fewest values."""
    values = {key: list(dict.fromkeys(one[key] for one in asked)) for key in asked[0]}
    size = 1
    for each in values.values():
        size *= len(each)
    if size == len(asked):
        yield values
        return
    key = min((key for key in values if len(values[key]) > 1), key=lambda key: len(values[key]))
    for value in values[key]:
        yield from _products([one for one in asked if one[key] == value])


def _typed(value: Any) -> str:
    """A value as Hydra takes it on the command line."""
    if value is None:
        return "null"
    text = as_text(value)
    return f"'{text}'" if isinstance(value, str) and re.search(r"[,=\s:{}\[\]()]", text) else text


def _value(config: Mapping[str, Any], key: str) -> str:
    return ("null" if config[key] is None else as_text(config[key])) if key in config else "absent"


def _common(report: Report, cells: Sequence[RunGroup]) -> list[tuple[str, str]]:
    """Overrides that all share, then the plain settings of training that all share."""
    found = {key: as_text(value) for key, value in report.common.items()}
    configs = [flat(shaping(cell.config)) for cell in cells]
    for key in ("epochs", "batch_size", "optimizer._target_", "optimizer.lr", "precision", "adversary_fraction"):
        values = {as_text(config.get(key)) for config in configs}
        if len(values) == 1 and (value := values.pop()):
            found.setdefault(key, value)
    return list(found.items())


def _data(runs: Sequence[Result]) -> list[str]:
    found: dict[str, None] = {}
    for run in runs:
        split = cast(Mapping[str, Any], run.manifest.get("split") or {})
        sizes = [
            f"{name} {cast(Mapping[str, Any], part).get('records', 0):,}"
            for name in ("victim", "adversary", "test")
            if isinstance(part := split.get(name), Mapping)
        ]
        described = f": records of {', '.join(sizes)}" if sizes else ""
        found[f"{run.setting[0]}{described}"] = None
    return list(found)


def _parts(runs: Sequence[Result], group: str, names: Mapping[str, str]) -> Iterator[str]:
    """Each option by the name for people, with its class and what that says of itself."""
    for run in runs:
        chosen = [(run.choices.get(group, ""), run.config.get(group))]
        if group == "defense" and run.choices.get("second_defense", "none") != "none":
            chosen.append((run.choices["second_defense"], run.config.get("second_defense")))
        for name, node in chosen:
            if name and name != "none":
                described = _described(cast(Mapping[str, Any], node)) if isinstance(node, Mapping) else ""
                title = names.get(name, name)
                shown = title if name in title else f"{title} ({name})"
                yield f"{shown}: {described}" if described else shown


def _described(node: Mapping[str, Any]) -> str:
    path = str(node.get("_target_") or "")
    try:
        text = (Factory(path).load().__doc__ or "") if path else ""
    except SettingError:  # a class of somebody else's that is not here
        text = ""
    first = text.strip().partition("\n\n")[0]
    return f"{path.rpartition('.')[2]}. {' '.join(first.split())}" if first else path
