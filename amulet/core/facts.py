"""What a reader has to know about a metric. The code that computes it states these facts; no code parses its name."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from amulet.core.risk import code_order

Harm = Literal["higher", "lower", "none"]
"""Which direction is worse for the victim; `none`: neither, as for the accuracy of a stolen model's teacher."""
SMALLEST_EFFECT = 0.01
"""The smallest change that counts, unless a metric states another: 1 point of a fraction."""
FRACTION = "fraction"
"""The unit of a share in [0, 1], and of a difference of shares: shown in per cent, its changes in points."""


@dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """The facts about one metric of a result: its subject, how to show it, what it decides."""

    name: str
    """Without what is in front of it: `auc` of `race.auc`."""
    label: str
    """For people: `accuracy under attack`."""
    risk: str = ""
    """The name of the risk that it measures, or `utility`; empty for a number that belongs to none."""
    harm: Harm = "none"
    unit: str = FRACTION
    """`fraction`, or the name of a unit (`nats`, `records`); empty for a bare number."""
    decides: bool = False
    """Whether the verdict on its risk rests on it."""
    verifies: bool = False
    """Whether it says how well a defence does what it is for, and not how large the risk is."""
    subject: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its subject, where a risk has one number for each: ``{"attribute": "race"}``, a class, a group, a score."""
    after: str = ""
    """The risk of the attack that made the model it was measured on; empty: measured on the victim itself."""
    rank: int = 0
    """Its position among the metrics of its risk, from 0."""
    range: tuple[float, float] | None = (0.0, 1.0)
    """The least and the largest value that it can have; None if there are none."""
    smallest_effect: float = SMALLEST_EFFECT
    """The smallest change that counts, in its unit: changes within it are equivalent to none."""
    at: str = ""
    """Under which conditions it was measured, where numbers under others are no others of its kind: `eps 0.05`."""

    @property
    def fraction(self) -> bool:
        """Whether it is shown in per cent."""
        return self.unit == FRACTION

    @property
    def largest_change(self) -> float:
        """How far it can rise or fall: from one end of its range to the other."""
        return math.inf if self.range is None else self.range[1] - self.range[0]

    @property
    def worse(self) -> str:
        """The harm as tables have it: empty where there is none."""
        return "" if self.harm == "none" else self.harm

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        limits = None if self.range is None else list(self.range)
        return dataclasses.asdict(self) | {"subject": dict(self.subject), "range": limits}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "MetricFacts":
        """What `as_dict` made, null for a limit that JSON cannot hold; what a later version added is left out."""
        known = _known(cls, kept)
        if known.get("range") is not None:
            low, high = known["range"]
            known["range"] = -math.inf if low is None else low, math.inf if high is None else high
        return cls(**known)


@dataclass(frozen=True)
class Metric:
    """The definition of a metric, beside the code that computes it.

    >>> Metric("auc", "area under the ROC curve", "higher", risk="membership_inference").named("rmia")
    'rmia.auc'
    """

    name: str
    label: str
    harm: Harm = "none"
    unit: str = FRACTION
    decides: bool = False
    verifies: bool = False
    risk: str = ""
    rank: int = 0
    range: tuple[float, float] | None = (0.0, 1.0)
    smallest_effect: float = SMALLEST_EFFECT

    def named(self, *prefix: str) -> str:
        """Its name in a result, with its subject in front: ``race.auc``."""
        return ".".join((*prefix, self.name))

    def facts(
        self, subject: Mapping[str, str] | None = None, *, decides: bool | None = None, at: str = ""
    ) -> MetricFacts:
        """Its facts in a result.

        Args:
            subject: what it is about: ``{"attribute": "race"}``.
            decides: whether it decides here, where only one of several of its kind does.
            at: under which conditions it was measured: `eps 0.05`.
        """
        return MetricFacts(
            name=self.name,
            label=self.label,
            risk=self.risk,
            harm=self.harm,
            unit=self.unit,
            decides=self.decides if decides is None else decides,
            verifies=self.verifies,
            subject=dict(subject or {}),
            rank=self.rank,
            range=self.range if self.unit == FRACTION or self.range != (0.0, 1.0) else None,
            smallest_effect=self.smallest_effect,
            at=at,
        )


_defined: dict[str, dict[str, Metric]] = {}


def metrics_of(risk: str, *metrics: Metric) -> Mapping[str, Metric]:
    """The metrics of a risk by name, ranked in the order given; `defined_metrics` knows them from now on."""
    found = {m.name: dataclasses.replace(m, risk=risk, rank=place) for place, m in enumerate(metrics)}
    _defined.setdefault(risk, {}).update(found)
    return found


def defined_metrics(risk: str) -> Mapping[str, Metric]:
    """The metrics of a risk whose protocol has been imported; empty where it defines none by `metrics_of`."""
    return dict(_defined.get(risk, {}))


@dataclass(frozen=True, kw_only=True)
class RiskFacts:
    """A risk as a reader needs it: it need not be registered where the result is read."""

    name: str
    code: str
    title: str
    retrains: bool | None = None
    """Whether assessing it trains victims, so that numbers are about the recipe; None: an earlier version's result."""

    @property
    def heading(self) -> str:
        """As headings name it: `S1 evasion`; `Utility`, which is no risk."""
        return self.title.capitalize() if self.name == "utility" else f"{self.code} {self.title}"


@dataclass(frozen=True, kw_only=True)
class DefenseFacts:
    """A defence of the victim."""

    kind: str
    """Its class: `package.module.Class`."""
    risk: str
    """The risk that it is made for."""
    stage: str
    """`before`, `in` or `after` training; `after` alters no weight."""
    family: str = ""
    """Its family in the literature's table (`amulet.assessment.literature`); empty where it has none."""
    pursues: tuple[str, ...] = ()
    """The metrics that it sets out to improve, by name without a prefix, where several decide its risk."""
    title: str = ""
    """Its name for people; empty in results of earlier versions."""


@dataclass(frozen=True, kw_only=True)
class AttackFacts:
    """An attack, and the settings that it was run with."""

    kind: str
    risk: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    default: bool = True
    """Whether it is of the class that measures the risk where none is chosen."""
    title: str = ""
    """Its name for people; empty in results of earlier versions."""

    @property
    def strength(self) -> str:
        """Of a suite, how thorough it is; of a single attack nothing."""
        return str(self.settings.get("strength") or "own") if "attacks" in self.settings else ""


@dataclass(kw_only=True)
class RunFacts:
    """What a reader of a run has to know beside its numbers."""

    metrics: dict[str, MetricFacts] = field(default_factory=dict[str, MetricFacts])
    risks: dict[str, RiskFacts] = field(default_factory=dict[str, RiskFacts])
    """By name: those that were measured, attacked or defended against, and utility."""
    defenses: tuple[DefenseFacts, ...] = ()
    attack: AttackFacts | None = None
    """The one that was chosen; None if none was."""
    attacks: dict[str, AttackFacts] = field(default_factory=dict[str, AttackFacts])
    """By risk, what measured it: the chosen attack or the risk's default."""
    collapsed: tuple[str, ...] = ()
    """The victims that give every test record one class: no risk of theirs can be measured."""

    def of(self, metric: str) -> MetricFacts:
        """A metric's facts; of one that states none, its name in plain words."""
        return self.metrics.get(metric) or MetricFacts(name=metric, label=metric.replace("_", " "))

    def order(self, metric: str) -> tuple[int, tuple[int, str, int], bool, int]:
        """Where a metric is in tables: utility first, then the risks as in the paper; after an attack last; others."""
        facts = self.of(metric)
        risk = self.risks.get(facts.risk)
        place = 2 if risk is None else 0 if risk.name == "utility" else 1
        return place, code_order(risk.code) if risk else (0, "", 0), bool(facts.after), facts.rank

    def pursued(self, metric: str) -> bool:
        """Whether a defence of the run sets out to improve it, of several that decide its risk."""
        facts = self.of(metric)
        return any(one.risk == facts.risk and facts.name in one.pursues for one in self.defenses)

    @property
    def attacked(self) -> str:
        """The risk that the chosen attack is on; empty without one."""
        return self.attack.risk if self.attack else ""

    @property
    def alters_nothing(self) -> bool:
        """Whether there are defences, and all of them leave the training alone."""
        return bool(self.defenses) and all(one.stage == "after" for one in self.defenses)

    def heading(self, risk: str) -> str:
        """A risk as headings name it; `Other` for none."""
        return self.risks[risk].heading if risk in self.risks else risk.replace("_", " ").capitalize() or "Other"

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "metrics": {name: facts.as_dict() for name, facts in self.metrics.items()},
            "risks": {name: dataclasses.asdict(risk) for name, risk in self.risks.items()},
            "defenses": [{**dataclasses.asdict(one), "pursues": list(one.pursues)} for one in self.defenses],
            "attack": dataclasses.asdict(self.attack) if self.attack else None,
            "attacks": {risk: dataclasses.asdict(one) for risk, one in self.attacks.items()},
            "collapsed": list(self.collapsed),
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "RunFacts":
        """What `as_dict` made; what a later version added is left out."""
        return cls(
            metrics={name: MetricFacts.from_dict(one) for name, one in kept.get("metrics", {}).items()},
            risks={name: RiskFacts(**_known(RiskFacts, one)) for name, one in kept.get("risks", {}).items()},
            defenses=tuple(
                dataclasses.replace(DefenseFacts(**_known(DefenseFacts, one)), pursues=tuple(one.get("pursues", ())))
                for one in kept.get("defenses", ())
            ),
            attack=AttackFacts(**_known(AttackFacts, one)) if (one := kept.get("attack")) else None,
            attacks={risk: AttackFacts(**_known(AttackFacts, one)) for risk, one in kept.get("attacks", {}).items()},
            collapsed=tuple(kept.get("collapsed", ())),
        )


def _known(kind: type[Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are fields of a dataclass."""
    names = _fields(kind)
    if kept.keys() <= names:
        return dict(kept)
    return {name: value for name, value in kept.items() if name in names}


@cache
def _fields(kind: type[Any]) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(kind))
