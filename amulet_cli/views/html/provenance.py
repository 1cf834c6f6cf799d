"""Where the numbers come from: data, machines, configurations, and the commands that make them again."""

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from amulet.core import Factory, SettingError
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import setting_name
from amulet_cli.analysis.origins import TRAINING, split_sizes
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text, flat
from amulet_cli.results.result import CHOICES, Result, shaping


def set_up(report: Report) -> list[tuple[str, list[str]]]:
    """What was compared with what, in terms with their meanings."""
    runs = report.runs
    seeds = sorted({run.seed for run in runs})
    shown = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 2 and _whole(seeds) else ", ".join(map(str, seeds))
    swept = {
        key: dict.fromkeys(as_text(cell.labels.get(key)) or "not set" for cell in report.cells) for key in report.keys
    }
    spent = format_numbers.duration(sum(sum(run.timings.values()) for run in runs))
    found = {
        "Data": list(dict.fromkeys(map(_data, runs))),
        "Model": _parts(report, "model"),
        "Defence": _parts(report, "defense"),
        "Attack": _parts(report, "attack"),
        "Swept": [f"{key}: {', '.join(values)}" for key, values in swept.items()],
        "The same in all runs": [f"{key}: {value}" for key, value in _common(report).items()],
        "Seeds": [f"{shown} ({format_numbers.plural(len(seeds), 'seed')})"],
        "Machine": [*machines(runs), f"computed in {spent}, what was stored not counted"],
    }
    return [(term, meanings) for term, meanings in found.items() if meanings]


def _whole(seeds: Sequence[int]) -> bool:
    return list(seeds) == [*range(seeds[0], seeds[-1] + 1)]


def machines(runs: Sequence[Result]) -> list[str]:
    """Hardware and device, with how many runs each had."""
    names = [
        " · ".join(as_text(run.environment[key]) for key in ("hardware", "device") if run.environment.get(key))
        for run in runs
    ]
    count = Counter(name for name in names if name)
    return [f"{name}: {format_numbers.plural(n, 'run')}" for name, n in count.items()]


def configurations(report: Report) -> tuple[str, list[tuple[str, list[tuple[str, str]]]]]:
    """The first cell's configuration as YAML, and of each other cell what it has otherwise."""
    import yaml

    base, *configs = (flat(shaping(cell.config)) for cell in report.cells)
    others: list[tuple[str, list[tuple[str, str]]]] = []
    for cell, config in zip(report.cells[1:], configs, strict=True):
        values = {key: (_value(config, key), _value(base, key)) for key in (*base, *config)}
        differ = [(key, here) for key, (here, there) in values.items() if here != there]
        others.append((setting_name(cell.labels), differ))
    return yaml.safe_dump(shaping(report.cells[0].config), sort_keys=False, allow_unicode=True), others


def commands(report: Report) -> list[str]:
    """The fewest commands that run exactly these cells and seeds."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for cell in report.cells:
        run, seeds = cell.first, sorted(cell.runs)
        asked = {key: _typed(run.choices[key]) for key in CHOICES if key in run.choices}
        asked |= {key: _typed(value) for key, value in run.overrides.items() if key not in (*asked, "seed")}
        several = len(seeds) > 1 and _whole(seeds)
        shown = f"range({seeds[0]},{seeds[-1] + 1})" if several else ",".join(map(str, seeds))
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
    if math.prod(map(len, values.values())) == len(asked):
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


def _common(report: Report) -> dict[str, str]:
    """Overrides that all share, then the plain settings of training that all share."""
    found = {key: as_text(value) for key, value in report.common.items()}
    configs = [flat(shaping(cell.config)) for cell in report.cells]
    for key in TRAINING:
        values = {as_text(config.get(key)) for config in configs}
        if len(values) == 1 and (value := values.pop()):
            found.setdefault(key, value)
    return found


def _data(run: Result) -> str:
    sizes = [f"{name} {size:,}" for name, size in split_sizes(run).items()]
    return f"{run.setting[0]}: records of {', '.join(sizes)}" if sizes else run.setting[0]


def _parts(report: Report, group: str) -> list[str]:
    """Each option by the name for people, with its class and what that says of itself."""
    found: dict[str, None] = {}
    for run in report.runs:
        chosen = [(run.choices.get(group, ""), run.config.get(group))]
        if group == "defense" and run.choices.get("second_defense", "none") != "none":
            chosen.append((run.choices["second_defense"], run.config.get("second_defense")))
        for name, node in chosen:
            if name and name != "none":
                described = _described(cast(Mapping[str, Any], node)) if isinstance(node, Mapping) else ""
                title = report.names.get(name, name)
                shown = title if name in title else f"{title} ({name})"
                found[f"{shown}: {described}" if described else shown] = None
    return list(found)


def _described(node: Mapping[str, Any]) -> str:
    path = str(node.get("_target_") or "")
    try:
        text = (Factory(path).load().__doc__ or "") if path else ""
    except SettingError:  # a class of somebody else's that is not here
        text = ""
    first = text.strip().partition("\n\n")[0]
    return f"{path.rpartition('.')[2]}. {' '.join(first.split())}" if first else path
