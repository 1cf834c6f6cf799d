"""One assessment: train a model without and with a defence, attack both, and report what changed."""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from amulet.assessment.compatibility import check_defenses
from amulet.assessment.measuring import deciding_attack, measure_risk, usable
from amulet.assessment.plan import Plan, protocol_of
from amulet.assessment.pretrained import check_accuracy, check_pretrained
from amulet.assessment.risks import risk_of
from amulet.assessment.suite import Suite
from amulet.assessment.utility import measure_utility
from amulet.core.access import Access
from amulet.core.blocks import RecordBlocks
from amulet.core.component import Attack, kind_of
from amulet.core.errors import IncompatibleError, SettingError, in_range
from amulet.core.evidence import Measurement
from amulet.core.facts import AttackFacts, DefenseFacts, MetricFacts, RiskFacts, RunFacts
from amulet.core.risk import UTILITY
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.split import stratified_split
from amulet.training.recipe import Recipe
from amulet.training.victim import DataSplits, Victim
from amulet.victims.answering import Answering
from amulet.victims.estimators import EstimatorRecipe

_LAST = 10_000  # the rank of a metric that states none
AFTER = "after_"
"""`after_poisoning.p_value`: of the model that the attack of that risk made of the victim."""


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

    def __repr__(self) -> str:
        """The numbers that decide and those of utility, and how many there are of everything."""
        known = self.facts.metrics.items()
        deciding = [name for name, one in known if one.decides or one.risk == UTILITY.name]
        rows = [
            f"{victim}: " + ", ".join(f"{name} {values[name]:.4g}" for name in deciding if name in values)
            for victim, values in self.metrics.items()
        ]
        count = sum(map(len, self.metrics.values()))
        return f"Outcome({'; '.join(rows)}; {count} metrics, {len(self.warnings)} warnings, {len(self.arrays)} arrays)"


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


def measurable(plan: Plan) -> list[str]:
    """The risks that a plan measures: those asked for, less the optional ones that make no sense."""
    left_out = _checked(plan)[1]
    return [risk for risk in plan.risks() if risk not in left_out]


def _checked(plan: Plan) -> tuple[list[str], dict[str, str]]:
    """Warnings, and the optional risks that make no sense, with the reason."""
    warnings = check_defenses(plan.defenses)
    recipe = _recipe(plan, num_classes=plan.data.num_classes if plan.data else 2)
    if plan.victim is not None:
        if plan.pretrained is not None:
            raise SettingError("`pretrained` and `victim` both give the undefended victim: leave one out")
        if isinstance(served := plan.victim.recipe(recipe), EstimatorRecipe):
            served.check()
    if plan.data is not None:
        if plan.data.answers is not None and Access.QUERIES in plan.granted():
            raise IncompatibleError(
                f"{plan.data.name} holds a model's answers, and no records that another model could be trained on or "
                "asked about: model=predictions"
            )
        labels = plan.data.train.y
        if plan.data.answers is None and labels.min() == labels.max():
            raise SettingError(
                f"labels of `train` must be of two classes or more, all are {int(labels[0])}: nothing to learn"
            )
        for defense in plan.defenses:
            defense.check(plan.data)
    left_out: dict[str, str] = {}
    asked = Access.QUERIES in plan.granted()
    for risk in plan.risks():
        with _optional(risk, plan, left_out):
            if plan.given is not None:
                judged = [] if plan.as_it_is(risk) else [risk]
                check_pretrained(plan.given, judged, (), adapted=False, asked=asked, trains_none=plan.trains_none)
            if risk != UTILITY.name:
                warnings += [f"{risk}: {text}" for text in usable(risk, plan)[1]]
    if plan.given is not None:
        adapted = recipe.architecture != plan.architecture
        kept = [risk for risk in plan.risks() if risk not in left_out and not plan.as_it_is(risk)]
        warnings += check_pretrained(plan.given, kept, plan.defenses, adapted=adapted, asked=asked)
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
    plan, said = _settled(plan, splits, left_out)
    outcome.warnings += [text for text in said if text not in outcome.warnings]
    outcome.manifest = _manifest(splits)
    if plan.victim is not None:
        recipe = plan.victim.recipe(recipe)
        recipe.try_out(data.train)
    plain = recipe.plain() if plan.given is None else recipe.plain().changed(architecture=plan.architecture)
    victims = [Victim("undefended", plain, splits.victim_records, splits.stream / "victim", plan.given)]
    if plan.given is not None and (data.answers is None or plan.given.accuracy is not None):
        outcome.warnings += check_accuracy(plan.given, victims[0], splits.test_records)
    if plan.defenses:
        victims.append(dataclasses.replace(victims[0], name="defended", recipe=recipe, pretrained=None, _known={}))
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
                    numbers = _measure(risk, victim, plan, splits, outcome)
                    numbers.add(_measure_aftermath(risk, victim, plan, splits))
                outcome.metrics[victim.name] |= numbers.metrics
                outcome.baselines.setdefault(victim.name, {}).update(numbers.baselines)
                outcome.intervals.setdefault(victim.name, {}).update(numbers.intervals)
                outcome.influences.setdefault(victim.name, {}).update(numbers.influences)
                if numbers.invalid:
                    outcome.invalid.setdefault(victim.name, {}).update(numbers.invalid)
                _state(outcome.facts, numbers, risk)
                outcome.warnings += [w for w in numbers.warnings if w not in outcome.warnings]
    for victim in victims:
        if isinstance(model := victim.model, Answering):
            asked = {"asked": model.asked, "clamped_share": model.clamped_share}
            outcome.manifest["training"][victim.name] |= asked
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
        facts.risks[risk.name] = RiskFacts(
            name=risk.name, code=risk.code, title=risk.title, retrains=risk.retrains and not plan.as_it_is(risk.name)
        )
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


def _settled(plan: Plan, splits: DataSplits, left_out: dict[str, str]) -> tuple[Plan, list[str]]:
    """The plan with what can be used of each suite, after the checks that need the splits; warnings."""
    attacks, warnings = dict[str, Attack](), list[str]()
    for risk in plan.risks():
        if risk != UTILITY.name and risk not in left_out:
            with _optional(risk, plan, left_out):
                attacks[risk], said = usable(risk, plan, splits)
                warnings += [f"{risk}: {text}" for text in said]
    chosen = plan.attack and attacks.get(plan.attack.risk, plan.attack)
    others = {risk: attack for risk, attack in attacks.items() if isinstance(attack, Suite)}
    return dataclasses.replace(plan, attack=chosen, attacks={**plan.attacks, **others}), warnings


def _measure(risk: str, victim: Victim, plan: Plan, splits: DataSplits, outcome: Outcome) -> Measurement:
    if risk == UTILITY.name:
        return measure_utility(victim, splits)
    found = measure_risk(risk, victim, plan, splits)
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
    later = aftermath(victim, deciding_attack(risk, victim, plan, splits), splits)
    for tested in own:
        numbers = measure_risk(tested, later, plan, splits).measurement
        for mine, theirs in (
            (found.metrics, numbers.metrics),
            (found.baselines, numbers.baselines),
            (found.intervals, numbers.intervals),
            (found.influences, numbers.influences),
            (found.invalid, numbers.invalid),
        ):
            mine |= {f"{AFTER}{risk}.{name}": value for name, value in theirs.items()}
        found.facts |= {
            f"{AFTER}{risk}.{name}": dataclasses.replace(facts, decides=False, after=risk)
            for name, facts in numbers.facts.items()
        }
        found.warnings += numbers.warnings
    return found


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
    data = splits.data
    columns = {"columns": list(data.feature_names)} if data.feature_names else {}
    ranges = {"ranges": {name: [scale.low, scale.high] for name, scale in data.scales.items()}} if data.scales else {}
    return {
        "dataset": {**data.notes, **columns, **ranges},
        "split": {
            name: {
                "records": len(part),
                "classes": [round(c / len(part), 4) for c in part.y.bincount(minlength=data.num_classes).tolist()],
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
