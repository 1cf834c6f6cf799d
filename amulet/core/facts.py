"""What a reader has to know about a metric. Whoever computes a metric states it; nobody guesses it from a name."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Harm = Literal["higher", "lower", "none"]
"""Which way is worse for the victim; `none`: neither, as for the accuracy of a stolen model's teacher."""
FRACTION = "fraction"
"""The unit of a share in [0, 1], and of a difference of shares: shown in per cent, its changes in points."""


@dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """One metric as a result has it: what it is about, how to show it, what it decides."""

    label: str
    """In plain words: `accuracy under attack`."""
    risk: str = ""
    """The name of the risk that it measures, or `utility`; empty for a number that belongs to none."""
    harm: Harm = "none"
    unit: str = FRACTION
    """`fraction`, or the name of a unit (`nats`, `records`); empty for a bare number."""
    decides: bool = False
    """Whether the verdict on its risk rests on it."""
    subject: Mapping[str, str] = field(default_factory=dict[str, str])
    """What it is about, where a risk has a number for each: ``{"attribute": "race"}``, a class, a group, a score."""
    after: str = ""
    """The risk whose attack made the model that it was measured on of the victim; empty: the victim itself."""
    rank: int = 0
    """Its place among the metrics of its risk, the first is 0."""

    @property
    def fraction(self) -> bool:
        """Whether it is shown in per cent."""
        return self.unit == FRACTION

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return dataclasses.asdict(self) | {"subject": dict(self.subject)}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "MetricFacts":
        """What `as_dict` made; what a later version added is left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in kept.items() if name in known})


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric where it is defined, beside the code that computes it.

    >>> AUC = Metric(name="auc", label="area under the ROC curve", risk="membership_inference", harm="higher")
    >>> AUC.named("rmia")
    'rmia.auc'
    """

    name: str
    label: str
    risk: str
    harm: Harm = "none"
    unit: str = FRACTION
    decides: bool = False
    rank: int = 0

    def named(self, *prefix: str) -> str:
        """Its name in a result, with what it is about in front: ``race.auc``."""
        return ".".join((*prefix, self.name))

    def facts(self, *, decides: bool | None = None, **subject: str) -> MetricFacts:
        """Its facts in a result.

        Args:
            decides: whether it decides here, where only one of several of its kind does.
            subject: what it is about: ``attribute="race"``.
        """
        return MetricFacts(
            label=self.label,
            risk=self.risk,
            harm=self.harm,
            unit=self.unit,
            decides=self.decides if decides is None else decides,
            subject=subject,
            rank=self.rank,
        )


def metrics_of(risk: str, *metrics: Metric) -> Mapping[str, Metric]:
    """The metrics of a risk by name, ranked in the order given."""
    return {m.name: dataclasses.replace(m, risk=risk, rank=place) for place, m in enumerate(metrics)}
