"""Plain words and clauses for each risk, read from `risks.yaml`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from amulet.core.access import Access, granting
from amulet.core.facts import MetricFacts
from amulet_cli.config.option_files import read_option

_FILE = Path(__file__).parent / "risks.yaml"


@dataclass(frozen=True, kw_only=True)
class Framework:
    """A law, a standard or a catalogue that findings bear on."""

    title: str
    source: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One clause of a framework."""

    framework: str
    clause: str
    says: str


@dataclass(frozen=True, kw_only=True)
class RiskWords:
    """What is said about one risk; empty of a risk that `risks.yaml` does not know, as a plug-in's."""

    plain: str = ""
    metrics: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    budgets: Sequence[Mapping[str, Any]] = ()
    clauses: tuple[Clause, ...] = ()
    attacked: bool = True
    """Whether there is an attacker."""

    def metric(self, facts: MetricFacts, about: str) -> str:
        """What a metric's number is, in plain words; its label where there are none."""
        told = self.metrics.get(facts.name, {}).get("plain", "")
        if told:
            return told.replace("{about}", about)
        return f"{facts.label} ({about})" if about else facts.label

    def without(self, facts: MetricFacts) -> str:
        """What its baseline is."""
        return self.metrics.get(facts.name, {}).get("without", "without the attack or the model")

    def budget(self, known: Mapping[str, Any]) -> str:
        """What the attacker was allowed: every sentence whose settings are known.

        >>> RiskWords(budgets=[{"text": "{n} of {share%}"}, {"text": "{unknown}"}]).budget({"n": 1200, "share": 0.05})
        '1,200 of 5%'
        """
        told = (_filled(one, known) for one in self.budgets)
        return "; ".join(text for text in told if text)


@dataclass(frozen=True, kw_only=True)
class Words:
    """The whole file."""

    frameworks: Mapping[str, Framework]
    every: tuple[Clause, ...]
    access: Mapping[str, str]
    risks: Mapping[str, RiskWords]

    def of(self, risk: str) -> RiskWords:
        """A risk's words."""
        return self.risks.get(risk, RiskWords())

    def adversary(self, needs: Access) -> str:
        """Who could do it, from what an attack needs: the strongest access alone where it includes the others."""
        parts = list(needs)
        strongest = [one for one in parts if not any(one in granting(more) for more in parts if more is not one)]
        return "; ".join(self.access[str(one.name)] for one in strongest)


@cache
def words() -> Words:
    """`risks.yaml`, read once."""
    content = cast(Mapping[str, Any], read_option(_FILE))
    return Words(
        frameworks={name: Framework(**one) for name, one in content["frameworks"].items()},
        every=_clauses(content["every"]),
        access=content["access"],
        risks={
            name: replace(RiskWords(**one), clauses=_clauses(one["clauses"])) for name, one in content["risks"].items()
        },
    )


def _clauses(told: Sequence[Mapping[str, str]]) -> tuple[Clause, ...]:
    return tuple(Clause(**one) for one in told)


def _filled(sentence: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if any(known.get(key) != value for key, value in sentence.get("when", {}).items()):
        return ""
    text = str(sentence["text"])
    named = re.findall(r"\{(\w+)(%?)\}", text)
    if any(known.get(name) in (None, [], ()) for name, _ in named):
        return ""
    for name, share in named:
        text = text.replace(f"{{{name}{share}}}", _shown(known[name], share=bool(share)))
    return text


def _shown(value: Any, *, share: bool) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one) for one in cast(Sequence[Any], value))
    if share:
        return f"{100 * value:g}%"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
