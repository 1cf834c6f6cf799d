"""The ways in which a metric was measured: what several jobs measured in the same way counts once."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amulet_cli.analysis.rows import SETTING, Row, RunGroup, values_of
from amulet_cli.base.serialize import as_text, canonical_json, differing, flat, plain
from amulet_cli.results.result import VICTIMS, Result


@dataclass
class _Source:
    """One way in which a metric was measured: its runs by seed."""

    how: str
    runs: dict[int, Result]

    def agrees(self, other: "_Source", metric: str) -> bool:
        """Whether both are the same measurement: equal numbers on every seed they share, or equal settings."""
        shared = self.runs.keys() & other.runs.keys()
        same = all(pair_of(self.runs[seed], metric) == pair_of(other.runs[seed], metric) for seed in shared)
        return (same and bool(shared)) or self.how == other.how


def measured(runs: Sequence[Result], notes: dict[str, None]) -> Iterator[tuple[Row, str]]:
    """Every deciding metric of a defence's runs, for each way in which it was measured; `notes` gets what is lost."""
    metrics = {
        name: facts.risk for run in runs for name in run.metrics["defended"] if (facts := run.facts.of(name)).decides
    }
    for metric, risk in metrics.items():
        sources: list[_Source] = []
        for run in runs:
            if not all(metric in run.metrics.get(victim, {}) for victim in VICTIMS):
                continue
            one = _Source(_how(run, risk), {run.seed: run})
            home = next((source for source in sources if source.agrees(one, metric)), None)
            if home is None:
                sources.append(one)
                continue
            kept = home.runs.setdefault(run.seed, run)
            if pair_of(kept, metric) != pair_of(run, metric):
                text = f"{run.folder} has another {metric} than {kept.folder} by the same settings; it is left out"
                notes[text] = None
        several = len(sources) > 1
        hows = _names_apart([one.how for one in sources]) if several else [_by(one, risk) for one in sources]
        yield from ((row_of(one.runs, metric), how) for one, how in zip(sources, hows, strict=True))


def pair_of(run: Result, metric: str) -> tuple[float, float] | None:
    """The metric on both victims, where both are finite."""
    before, after = (run.value(victim, metric) for victim in VICTIMS)
    return (before, after) if math.isfinite(before) and math.isfinite(after) else None


def _how(run: Result, risk: str) -> str:
    """The attack that measured a risk in this run, and its settings."""
    attack = run.facts.attacks.get(risk)
    if attack is not None and attack.kind:
        return key_of({"_target_": attack.kind, **attack.settings})
    return key_of({"default": attack.settings if attack else {}})


def _by(source: _Source, risk: str) -> str:
    """The class of the attack where it is not the one that measures the risk by default."""
    attack = next(iter(source.runs.values())).facts.attacks.get(risk)
    if attack is None or attack.default:
        return ""
    return f"suite: {attack.strength}" if attack.strength else f"by {attack.kind.rpartition('.')[2]}"


def _names_apart(hows: Sequence[str]) -> list[str]:
    """What differs in several ways of measuring, as `steps=10`."""
    configs = [flat(json.loads(how)) for how in hows]
    described: list[str] = []
    for config in configs:
        if any(key.startswith("default") for key in config) or not config:
            words = [f"{key.removeprefix('default.')}={as_text(value)}" for key, value in config.items() if value]
            described.append(" ".join(words) or "default settings")
        else:
            others = [other for other in configs if other.get("_target_") == config.get("_target_")]
            keys = differing(others) if len(others) > 1 else []
            kind = str(config.get("_target_", "")).rpartition(".")[2]
            described.append(" ".join((kind, *(f"{key}={as_text(config.get(key))}" for key in keys))))
    return described


def row_of(runs: Mapping[int, Result], metric: str) -> Row:
    """A metric of both victims over the seeds of some runs."""
    ordered = dict(sorted(runs.items()))
    labels: dict[str, Any] = dict(zip(SETTING, next(iter(ordered.values())).setting, strict=True))
    return Row(cell=RunGroup(labels=labels, runs=ordered), metric=metric, values=values_of(ordered, metric))


def key_of(value: Any) -> str:
    """Any configuration as a text that equal ones have in common."""
    return canonical_json(plain(value, finite=False))
