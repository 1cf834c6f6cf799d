"""One risk of one victim measured: by the attack on it or by a suite, from the store where that was done before."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from amulet.assessment.measured import Measured, key_of
from amulet.assessment.plan import ExtraMetric, Plan, protocol_of
from amulet.assessment.suite import Suite, measure_suite, members_of
from amulet.core.access import Access, missing
from amulet.core.component import Attack
from amulet.core.errors import IncompatibleError, SettingError
from amulet.core.evidence import Measurement
from amulet.training.victim import DataSplits, Victim


def usable(risk: str, plan: Plan, splits: DataSplits | None = None) -> tuple[Attack, list[str]]:
    """The attack on a risk; of a suite what can be used here, and what is left out, with the reason.

    Raises:
        IncompatibleError: nothing of it can be used.
        SettingError: a setting cannot work.
    """
    attack, protocol = plan.attack_on(risk), protocol_of(risk)
    look = getattr(protocol, "check_splits", None)
    members, reasons = dict[str, Attack](), dict[str, list[str]]()
    for name, one in members_of(attack).items():
        try:
            if lacking := missing(one.needs, plan.granted()):
                raise IncompatibleError(_refusal(one, lacking, plan))
            protocol.check(one, plan.defenses, plan.data)
            if splits is not None and look is not None:
                look(one, splits)
            members[name] = one
        except IncompatibleError as refused:
            if not isinstance(attack, Suite):
                raise
            reasons.setdefault(str(refused), []).append(name)
    left_out = [f"the suite leaves out {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    if not isinstance(attack, Suite):
        return attack, []
    if plan.extra_metrics.get(risk):
        raise SettingError(f"`metric` functions need the evidence of one attack on {risk}, not of a suite")
    if not members:
        raise IncompatibleError(f"no attack of the suite can be used. {'; '.join(left_out)}")
    if (look := getattr(protocol, "check_suite", None)) is not None:
        look(members, plan.defenses)
    return attack.changed(attacks=members), left_out


def _refusal(attack: Attack, lacking: Access, plan: Plan) -> str:
    """What it lacks, of which victim, and the way out."""
    noun = "" if plan.victim is None else plan.victim.noun
    name = f"the {noun}" if " " in noun or noun.islower() else noun or "this victim"
    return (
        f"{type(attack).__name__} needs {lacking.words()}, which {name} does not grant; take an attack that needs less "
        "(docs/access.md lists them)"
    )


def deciding_attack(risk: str, victim: Victim, plan: Plan, splits: DataSplits) -> Attack:
    """The attack on a risk; of a suite the one that decided."""
    attack = plan.attack_on(risk)
    if not isinstance(attack, Suite):
        return attack
    decided = measure_risk(risk, victim, plan, splits).manifest["suite"]["decided"]
    return attack.attacks[next(iter(decided.values()))]


def measure_risk(risk: str, victim: Victim, plan: Plan, splits: DataSplits) -> Measured:
    """What the attack on a risk finds, or the attacks of a suite."""
    functions = plan.extra_metrics.get(risk, ())
    attack = plan.attack_on(risk)
    if not isinstance(attack, Suite):
        return _stored(risk, victim, attack, splits, plan, functions)
    if not hasattr(protocol_of(risk), "cascade"):
        return measure_suite(attack, victim, splits, lambda v, one, s: _stored(risk, v, one, s, plan))
    return _stored(risk, victim, attack, splits, plan)


def _stored(
    risk: str,
    victim: Victim,
    attack: Attack,
    splits: DataSplits,
    plan: Plan,
    functions: Sequence[ExtraMetric] = (),
) -> Measured:
    """From the store if the same was measured before, unless the user's own functions need the evidence."""

    def make() -> Measured:
        if isinstance(attack, Suite):
            return _cascaded(risk, victim, attack, splits, plan)
        return _of_evidence(risk, protocol_of(risk).assess(victim, attack, splits), functions)

    if functions or not plan.reuse:
        return make()
    return _kept_in_store(plan, key_of(risk, victim, attack, splits), f"{risk} of {victim.name}", victim, make)


def _kept_in_store(plan: Plan, key: str, what: str, victim: Victim, make: Callable[[], Measured]) -> Measured:
    store = plan.runtime.store
    with store.lock(key):
        stored = store.load(key)
        if stored is not None:
            text = f"{what}: the same was measured before ({key.rpartition('-')[2][:8]})"
            plan.runtime.reporter.reused("measurement", text)
            return Measured.of(stored, victim.name)
        found = make()
        kept = found.stored(victim.name)
        if kept is not None:
            store.save(key, kept)
    return found


def _cascaded(risk: str, victim: Victim, suite: Suite, splits: DataSplits, plan: Plan) -> Measured:
    """One attack after the other, each kept as soon as it is done, on the records that withstood those before it."""
    protocol: Any = protocol_of(risk)

    def attempt(name: str, attack: Attack, part: DataSplits) -> Mapping[str, np.ndarray]:
        def make() -> Measured:
            evidence = protocol.attempt(victim, attack, part)
            return Measured(measurement=Measurement(), manifest=dict(evidence.manifest), arrays=evidence.arrays())

        if not plan.reuse:
            return make().arrays
        key = key_of(risk, victim, attack, part).replace("measured-", "measured-attempt-", 1)
        return _kept_in_store(plan, key, f"{name} on {victim.name}", victim, make).arrays

    return _of_evidence(risk, protocol.cascade(victim, suite.attacks, splits, attempt), ())


def _of_evidence(risk: str, evidence: Any, functions: Sequence[ExtraMetric]) -> Measured:
    measurement = protocol_of(risk).measure(evidence)
    for function in functions:
        more = function(evidence)
        if not isinstance(more, Mapping | Measurement):  # pyright: ignore[reportUnnecessaryIsInstance]
            name = getattr(function, "__qualname__", type(function).__name__)
            raise SettingError(f"`{name}` must return numbers by name or a Measurement, got {type(more).__name__}")
        measurement.add(more if isinstance(more, Measurement) else Measurement(metrics=dict(more)))
    return Measured(measurement=measurement, manifest=dict(evidence.manifest), arrays=evidence.arrays())
