"""Evidence, which a protocol returns, and the measurement that metrics compute from it."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch

from amulet.core.blocks import RecordBlocks
from amulet.core.facts import Metric, MetricFacts
from amulet.core.influence import Influence
from amulet.core.intervals import clopper_pearson


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The input of one risk's metrics: arrays, the record ids they belong to, and how they were obtained.

    Every risk has a subclass. Tensor and array fields are kept in `evidence.npz`; `manifest` and `warnings` go
    into `metrics.json`.
    """

    manifest: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Who got which records, budgets, counts: JSON."""
    warnings: tuple[str, ...] = ()
    """Reasons why a number may not be reliable, each with what to do about it."""

    def changed(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def arrays(self) -> dict[str, np.ndarray]:
        """Every tensor, array or mapping of these among the fields, as numpy arrays by name."""
        found: dict[str, np.ndarray] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            items = value.items() if isinstance(value, Mapping) else [("", value)]
            for key, item in items:
                name = f"{entry.name}.{key}" if key else entry.name
                if isinstance(item, torch.Tensor):
                    found[name] = item.detach().cpu().numpy()
                elif isinstance(item, np.ndarray):
                    found[name] = item
        return found


@dataclass(kw_only=True)
class Measurement:
    """The numbers of one risk for one victim. Fractions in [0, 1]; NaN where there is no number."""

    metrics: dict[str, float] = field(default_factory=dict[str, float])
    baselines: dict[str, float] = field(default_factory=dict[str, float])
    """The values of the metrics without the attack, or without the model."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """95 % intervals by metric."""
    facts: dict[str, MetricFacts] = field(default_factory=dict[str, MetricFacts])
    """By metric: its risk, which way is worse, its unit, whether it decides. Stated where it is computed."""
    influences: dict[str, RecordBlocks] = field(default_factory=dict[str, RecordBlocks])
    """By metric: how far the records move it, for metrics over records that other seeds and victims have too."""
    invalid: dict[str, str] = field(default_factory=dict[str, str])
    """By metric: why it can carry no verdict, although there may be a number."""
    warnings: list[str] = field(default_factory=list[str])

    def add(self, other: "Measurement") -> None:
        """Add the numbers of another measurement of the same victim."""
        self.metrics.update(other.metrics)
        self.baselines.update(other.baselines)
        self.intervals.update(other.intervals)
        self.facts.update(other.facts)
        self.influences.update(other.influences)
        self.invalid.update(other.invalid)
        self.warnings.extend(w for w in other.warnings if w not in self.warnings)

    def record(
        self,
        metric: Metric,
        value: float,
        subject: Mapping[str, str] | None = None,
        *,
        prefix: Sequence[str] | None = None,
        interval: tuple[float, float] | None = None,
        baseline: float | None = None,
        influence: Influence | None = None,
        invalid: str = "",
        decides: bool | None = None,
        at: str = "",
    ) -> str:
        """Record a number with its facts.

        Args:
            metric: what it is.
            value: the number; NaN where it cannot be had.
            subject: what it is about: ``{"attribute": "race"}``.
            prefix: what is in front of its name, ``race`` in ``race.auc``: what it is about, if not given.
            interval: its 95 % interval.
            baseline: what it would be without the attack, or without the model.
            influence: how far each record moves it, where other seeds and victims are measured on the same records.
            invalid: why no verdict may rest on it: the attack failed, the model answers one class.
            decides: whether it decides its risk, where only one of several of its kind does.
            at: under which conditions it was measured, where others make another number of it: `eps 0.05`.

        Returns:
            Its name.
        """
        name = metric.named(*((subject or {}).values() if prefix is None else prefix))
        self.metrics[name], self.facts[name] = value, metric.facts(subject, decides=decides, at=at)
        if interval is not None:
            self.intervals[name] = interval
        if baseline is not None:
            self.baselines[name] = baseline
        if influence is not None:
            self.influences[name] = influence.blocks()
        if invalid:
            self.invalid[name] = invalid
        return name

    def proportion(
        self,
        metric: Metric,
        successes: int,
        trials: int,
        subject: Mapping[str, str] | None = None,
        *,
        prefix: Sequence[str] | None = None,
        baseline: float | None = None,
        influence: Influence | None = None,
        invalid: str = "",
        decides: bool | None = None,
        at: str = "",
    ) -> str:
        """Record a share of independent trials with its Clopper-Pearson interval; its name."""
        interval = clopper_pearson(successes, trials) if trials else None
        value = successes / trials if trials else float("nan")
        return self.record(
            metric,
            value,
            subject,
            prefix=prefix,
            interval=interval,
            baseline=baseline,
            influence=influence,
            invalid=invalid,
            decides=decides,
            at=at,
        )


def pictured(images: torch.Tensor, most: int = 20) -> np.ndarray:
    """The first of some images (k, channels, h, w) in [0, 1], as evidence to be shown: uint8 (k, h, w, channels).

    The runner shows evidence arrays named `picture.<file>.<row>` as that row of `<file>.png`, with NaN as black.
    """
    shown = images[:most].detach().cpu().nan_to_num(0).clamp(0, 1)
    return (shown * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
