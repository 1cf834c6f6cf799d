"""One assessment: train a model without and with a defence, attack both, and report what changed."""

import dataclasses
import importlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import torch

from amulet.assessment.compatibility import check_defenses
from amulet.assessment.measured import Measured, key_of
from amulet.assessment.pretrained import check_accuracy, check_pretrained
from amulet.assessment.risks import RISKS, risk_of
from amulet.assessment.utility import measure_utility
from amulet.core.blocks import RecordBlocks
from amulet.core.component import Attack, Factory, kind_of
from amulet.core.errors import IncompatibleError, SettingError, in_range, one_of
from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import AttackFacts, DefenseFacts, MetricFacts, RiskFacts, RunFacts
from amulet.core.risk import UTILITY
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.split import stratified_split
from amulet.training.defense import Defense
from amulet.training.loop import EarlyStopping, Precision
from amulet.training.pretrained import Pretrained
from amulet.training.recipe import Recipe
from amulet.training.runtime import Runtime
from amulet.training.victim import DataSplits, Victim

_LAST = 10_000  # the rank of a metric that states none
ExtraMetric = Callable[[Any], "Mapping[str, float] | Measurement"]
AFTER = "after_"
"""`after_poisoning.p_value`: of the model that the attack of that risk made of the victim."""


class RiskProtocol(Protocol):
    """The interface of `amulet.<risk>.protocol`."""

    def default_attack(self, defenses: Sequence[Defense]) -> Attack:
        """The attack that measures this risk when the user chose none for it."""
        ...

    def check(self, attack: Attack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work; called without data first, then with it."""
        ...

    def assess(self, victim: Victim, attack: Attack, splits: DataSplits) -> Evidence:
        """Run the attack on one victim."""
        ...

    def measure(self, evidence: Any) -> Measurement:
        """The risk's metrics, a pure function of the evidence."""
        ...


def protocol_of(risk: str) -> RiskProtocol:
    """The protocol module of a risk."""
    return cast(RiskProtocol, importlib.import_module(RISKS[risk].protocol))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that one assessment depends on."""

    data: AmuletDataset | None
    """May be None for `check`, before any data is read."""
    architecture: Factory
    optimizer: Factory
    schedule: Factory | None = None
    epochs: int = 20
    batch_size: int = 256
    early_stopping: EarlyStopping | None = None
    precision: Precision = "auto"
    augmentation: tuple[Factory, ...] = ()
    """Random changes of the training images, for the adversary's models as well as for the victim's."""
    defenses: tuple[Defense, ...] = ()
    attack: Attack | None = None
    metrics: tuple[str, ...] = ("default",)
    """Risks by name, `utility`, or `default`: utility, the attack's risk and the defences' own risks."""
    optional: tuple[str, ...] = ()
    """Those of them that are left out, with the reason, if they make no sense; for any other the plan is refused."""
    attack_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """By risk: hyper-parameters of its default attack, for a risk that `attack` is not on."""
    extra_metrics: Mapping[str, Sequence[ExtraMetric]] = field(default_factory=dict[str, Sequence[ExtraMetric]])
    """By risk: the user's own functions of its evidence, computed after its metrics."""
    adversary_fraction: float = 0.5
    """Share of the training split that the adversary has instead of the victim."""
    pretrained: Pretrained | None = None
    """The undefended victim's weights, if it was trained elsewhere."""
    seed: int = 0
    reuse: bool = True
    """Reuse earlier measurements from the runtime's store, and keep the new ones."""
    runtime: Runtime = field(default_factory=Runtime)

    def risks(self) -> list[str]:
        """The risks to measure, in order; each once."""
        wanted: list[str] = []
        for metric in self.metrics:
            if metric == "default":
                wanted += [
                    UTILITY.name,
                    *([self.attack.risk] if self.attack else []),
                    *(d.risk for d in self.defenses),
                ]
            else:
                try:
                    wanted.append(risk_of(metric).name)
                except KeyError:
                    raise SettingError(
                        f"`metric` must name risks ({', '.join(RISKS)}), utility or default; got {metric}"
                    ) from None
        return list(dict.fromkeys(wanted))

    def attack_on(self, risk: str) -> Attack:
        """The chosen attack if it is on that risk, else that risk's default attack."""
        if self.attack is not None and self.attack.risk == risk:
            return self.attack
        default, settings = protocol_of(risk).default_attack(self.defenses), self.attack_settings.get(risk, {})
        for name in settings:
            one_of(f"metric.{risk}.attack", name, default.parameters())
        return default.changed(**settings)


@dataclass(kw_only=True)
class Outcome:
    """The result of an assessment. Victims are `undefended` and, with a defence, `defended`."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    baselines: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    intervals: dict[str, dict[str, tuple[float, float]]] = field(
        default_factory=dict[str, dict[str, tuple[float, float]]]
    )
    influences: dict[str, dict[str, RecordBlocks]] = field(default_factory=dict[str, dict[str, RecordBlocks]])
    """How far the test records move each metric, where other seeds and victims are measured on the same ones."""
    invalid: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """By victim and metric: why no verdict may rest on the number."""
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: list[str] = field(default_factory=list[str])
    timings: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds by stage."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """Evidence: `<victim>.<risk>.<name>`."""
    facts: RunFacts = field(default_factory=RunFacts)
    """What a reader has to know beside the numbers."""


def check(plan: Plan) -> list[str]:
    """Refuse a plan that cannot work, before anything slow; return warnings for the user.

    Raises:
        IncompatibleError: a combination that makes no sense.
        SettingError: a setting that cannot work.
    """
    in_range("adversary_fraction", plan.adversary_fraction, above=0, below=1)
    if plan.data is not None:
        _adversary_records(plan, plan.data)
    return _checked(plan)[0]


def _checked(plan: Plan) -> tuple[list[str], dict[str, str]]:
    """Warnings, and the optional risks that make no sense, with the reason."""
    warnings = check_defenses(plan.defenses)
    if plan.data is not None:
        for defense in plan.defenses:
            defense.check(plan.data)
    left_out: dict[str, str] = {}
    for risk in plan.risks():
        with _optional(risk, plan, left_out):
            if plan.pretrained is not None:
                check_pretrained(plan.pretrained, [risk], (), adapted=False)
            if risk != UTILITY.name:
                protocol_of(risk).check(plan.attack_on(risk), plan.defenses, plan.data)
    recipe = _recipe(plan, num_classes=plan.data.num_classes if plan.data else 2)
    if plan.pretrained is not None:
        adapted = recipe.architecture != plan.architecture
        kept = [risk for risk in plan.risks() if risk not in left_out]
        warnings += check_pretrained(plan.pretrained, kept, plan.defenses, adapted=adapted)
    return warnings, left_out


@contextmanager
def _optional(risk: str, plan: Plan, left_out: dict[str, str]) -> Iterator[None]:
    """An optional risk that is refused in this block is left out, with the reason."""
    try:
        yield
    except IncompatibleError as refused:
        if risk not in plan.optional:
            raise
        left_out[risk] = str(refused)


def assess(plan: Plan) -> Outcome:
    """Train the victims, attack both, and measure."""
    data = plan.data
    if data is None:
        raise SettingError("`data` must be an AmuletDataset, got None")
    plan = dataclasses.replace(plan, defenses=tuple(defense.bound(data) for defense in plan.defenses))
    warnings, left_out = _checked(plan)
    outcome = Outcome(warnings=[*warnings, *data.warnings])
    recipe = _recipe(plan, data.num_classes)
    recipe.try_out(data.train)
    splits = _splits(plan, data, recipe)
    _check_splits(plan, splits, left_out)
    outcome.manifest = _manifest(splits)
    plain = recipe.plain() if plan.pretrained is None else recipe.plain().changed(architecture=plan.architecture)
    victims = [Victim("undefended", plain, splits.victim_records, splits.stream / "victim", plan.pretrained)]
    if plan.pretrained is not None:
        outcome.warnings += check_accuracy(plan.pretrained, victims[0], splits.test_records)
    if plan.defenses:
        victims.append(dataclasses.replace(victims[0], name="defended", recipe=recipe, pretrained=None, _answers={}))
    for victim in victims:
        outcome.metrics[victim.name] = {}
        with _timed(outcome, f"train {victim.name}"):
            report = victim.trained.report
        outcome.manifest.setdefault("training", {})[victim.name] = _kept(report)
        outcome.warnings += [f"{victim.name}: {warning}" for warning in report.get("warnings", ())]
        outcome.arrays |= {f"{victim.name}.training.{name}": array for name, array in victim.trained.arrays.items()}
    for risk in [risk for risk in plan.risks() if risk not in left_out]:
        with _optional(risk, plan, left_out):
            for victim in victims:
                with _timed(outcome, f"{risk} {victim.name}"):
                    measured = _measure(risk, victim, plan, splits, outcome)
                    measured.add(_measure_aftermath(risk, victim, plan, splits))
                outcome.metrics[victim.name] |= measured.metrics
                outcome.baselines.setdefault(victim.name, {}).update(measured.baselines)
                outcome.intervals.setdefault(victim.name, {}).update(measured.intervals)
                outcome.influences.setdefault(victim.name, {}).update(measured.influences)
                if measured.invalid:
                    outcome.invalid.setdefault(victim.name, {}).update(measured.invalid)
                _state(outcome.facts, measured, risk)
                outcome.warnings += [w for w in measured.warnings if w not in outcome.warnings]
    if left_out:
        outcome.manifest["refused"] = left_out
    metrics = outcome.facts.metrics
    outcome.facts = plan_facts(plan, left_out)
    outcome.facts.metrics = metrics
    outcome.facts.collapsed = tuple(victim.name for victim in victims if _collapsed(victim, splits))
    return outcome


def _collapsed(victim: Victim, splits: DataSplits) -> bool:
    """Whether it gives every test record one class, where the records are of several."""
    records = splits.test_records
    answers = victim.logits(records).argmax(dim=1)
    return bool((answers == answers[0]).all() and (records.y != records.y[0]).any())


def _state(facts: RunFacts, measured: Measurement, risk: str) -> None:
    """Take over what was stated of each metric; one name may mean one thing only."""
    for name in measured.metrics:
        stated = measured.facts.get(name) or MetricFacts(name=name, label=name.replace("_", " "), risk=risk, rank=_LAST)
        known = facts.metrics.setdefault(name, stated)
        if known.risk != stated.risk:
            raise ValueError(f"`{name}` is a metric of {known.risk} and of {stated.risk}: rename one")


def plan_facts(plan: Plan, left_out: Iterable[str] = ()) -> RunFacts:
    """What a plan says before anything is run: defences, attacks, and every risk that is named anywhere."""
    facts = RunFacts()
    facts.defenses = tuple(
        DefenseFacts(
            kind=kind_of(d),
            risk=d.risk,
            stage=d.stage,
            family=d.family,
            pursues=tuple(d.pursues),
            title=d.name_in_words(),
        )
        for d in plan.defenses
    )
    facts.attack = _attack_facts(plan.attack, plan) if plan.attack else None
    measured = [risk for risk in plan.risks() if risk != UTILITY.name and risk not in left_out]
    facts.attacks = {risk: _attack_facts(plan.attack_on(risk), plan) for risk in measured}
    named = [
        UTILITY.name,
        *plan.risks(),
        *(d.risk for d in plan.defenses),
        *([plan.attack.risk] if plan.attack else []),
    ]
    for risk in map(risk_of, named):
        facts.risks[risk.name] = RiskFacts(name=risk.name, code=risk.code, title=risk.title)
    return facts


def _attack_facts(attack: Attack, plan: Plan) -> AttackFacts:
    usual = protocol_of(attack.risk).default_attack(plan.defenses)
    return AttackFacts(
        kind=kind_of(attack),
        risk=attack.risk,
        settings=attack.settings(),
        default=type(attack) is type(usual),
        title=attack.name_in_words(),
    )


def _check_splits(plan: Plan, splits: DataSplits, left_out: dict[str, str]) -> None:
    """Checks that need the splits; a protocol may have a `check_splits` for them."""
    for risk in plan.risks():
        look = None if risk == UTILITY.name else getattr(protocol_of(risk), "check_splits", None)
        if look is not None and risk not in left_out:
            with _optional(risk, plan, left_out):
                look(plan.attack_on(risk), splits)


def _measure(risk: str, victim: Victim, plan: Plan, splits: DataSplits, outcome: Outcome) -> Measurement:
    if risk == UTILITY.name:
        return measure_utility(victim, splits)
    found = _measured(risk, victim, plan, splits)
    warned = {"warnings": list(found.measurement.warnings)} if found.measurement.warnings else {}
    outcome.manifest.setdefault(risk, {})[victim.name] = {**found.manifest, **warned}
    outcome.arrays |= {f"{victim.name}.{risk}.{name}": array for name, array in found.arrays.items()}
    return found.measurement


def _measure_aftermath(risk: str, victim: Victim, plan: Plan, splits: DataSplits) -> Measurement:
    """Where an attack acts on the training: do the defences that should survive it still work on the resulting model?

    Measures their own risks on that model, as `after_<risk>.<metric>`. The protocol's `aftermath` makes the model.
    """
    found = Measurement()
    aftermath = None if risk == UTILITY.name else getattr(protocol_of(risk), "aftermath", None)
    own = dict.fromkeys(d.risk for d in plan.defenses if d.survives_retraining and d.risk != risk)
    if aftermath is None or not own:
        return found
    later = aftermath(victim, plan.attack_on(risk), splits)
    for tested in own:
        measured = _measured(tested, later, plan, splits).measurement
        for mine, theirs in (
            (found.metrics, measured.metrics),
            (found.baselines, measured.baselines),
            (found.intervals, measured.intervals),
            (found.influences, measured.influences),
            (found.invalid, measured.invalid),
        ):
            mine |= {f"{AFTER}{risk}.{name}": value for name, value in theirs.items()}
        found.facts |= {
            f"{AFTER}{risk}.{name}": dataclasses.replace(facts, decides=False, after=risk)
            for name, facts in measured.facts.items()
        }
        found.warnings += measured.warnings
    return found


def _measured(risk: str, victim: Victim, plan: Plan, splits: DataSplits) -> Measured:
    """From the store if the same was measured before, unless the user's own functions need the evidence."""
    attack, functions = plan.attack_on(risk), plan.extra_metrics.get(risk, ())
    if functions or not plan.reuse:
        return _measured_again(risk, victim, attack, splits, functions)
    store, key = plan.runtime.store, key_of(risk, victim, attack, splits)
    with store.lock(key):
        stored = store.load(key)
        if stored is not None:
            text = f"{risk} of {victim.name}: the same was measured before ({key[9:17]})"
            plan.runtime.reporter.reused("measurement", text)
            return Measured.of(stored, victim.name)
        found = _measured_again(risk, victim, attack, splits, functions)
        kept = found.stored(victim.name)
        if kept is not None:
            store.save(key, kept)
    return found


def _measured_again(
    risk: str, victim: Victim, attack: Attack, splits: DataSplits, functions: Sequence[ExtraMetric]
) -> Measured:
    protocol = protocol_of(risk)
    evidence = protocol.assess(victim, attack, splits)
    measurement = protocol.measure(evidence)
    for function in functions:
        more = function(evidence)
        measurement.add(more if isinstance(more, Measurement) else Measurement(metrics=dict(more)))
    return Measured(measurement=measurement, manifest=dict(evidence.manifest), arrays=evidence.arrays())


def _recipe(plan: Plan, num_classes: int) -> Recipe:
    architecture = plan.architecture
    for defense in plan.defenses:
        architecture = defense.adapt(architecture)
    return Recipe(
        architecture=architecture,
        num_classes=num_classes,
        optimizer=plan.optimizer,
        schedule=plan.schedule,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        defenses=plan.defenses,
        early_stopping=plan.early_stopping,
        precision=plan.precision,
        augmentation=plan.augmentation,
        runtime=plan.runtime,
    )


def _adversary_records(plan: Plan, data: AmuletDataset) -> int:
    """How many of the training records are the adversary's."""
    n = len(data.train)
    adversary = round(plan.adversary_fraction * n)
    if not 0 < adversary < n:
        raise SettingError(
            f"`adversary_fraction` must leave both sides at least one of {n} training records, got "
            f"{plan.adversary_fraction}"
        )
    return adversary


def _splits(plan: Plan, data: AmuletDataset, recipe: Recipe) -> DataSplits:
    stream = Stream(plan.seed)
    n, adversary = len(data.train), _adversary_records(plan, data)
    mine, theirs = stratified_split(data.train.y, [n - adversary, adversary], (stream / "split").generator())
    splits = DataSplits(
        data=data,
        victim_records=data.train.take(mine),
        adversary_records=data.train.take(theirs),
        stream=stream,
        runtime=plan.runtime,
        defenses=plan.defenses,
        plain_recipe=recipe.plain(),
    )
    parts = [part.ids for part in (splits.victim_records, splits.adversary_records, splits.test_records)]
    if len(torch.cat(parts).unique()) != sum(map(len, parts)):
        raise RuntimeError("victim, adversary and test split share records")
    return splits


def _manifest(splits: DataSplits) -> dict[str, Any]:
    parts = {
        "victim": splits.victim_records,
        "adversary": splits.adversary_records,
        "test": splits.test_records,
    }
    return {
        "dataset": dict(splits.data.notes)
        | ({"columns": list(splits.data.feature_names)} if splits.data.feature_names else {}),
        "split": {
            name: {
                "records": len(part),
                "classes": [
                    round(c / len(part), 4) for c in part.y.bincount(minlength=splits.data.num_classes).tolist()
                ],
                "digest": part.digest[:16],
            }
            for name, part in parts.items()
        },
    }


def _kept(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in ("losses", "seconds", "warnings")}


@contextmanager
def _timed(outcome: Outcome, stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    outcome.timings[stage] = round(outcome.timings.get(stage, 0.0) + time.perf_counter() - began, 3)
