"""Suites: several attacks on one risk, of which the worst counts."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch

from amulet.assessment.measured import Measured
from amulet.core.component import Attack, code_digest, kind_of
from amulet.core.errors import Diverged, IncompatibleError, SettingError
from amulet.core.evidence import Measurement
from amulet.core.facts import MetricFacts
from amulet.datasets.split import stratified_split
from amulet.training.victim import DataSplits, Victim

Measure = Callable[[Victim, Attack, DataSplits], Measured]
_REHEARSAL = (
    0.4,
    0.4,
)  # shares of the adversary's records: a victim's of its own, an adversary's; the rest is for tests


class Suite(Attack):
    """Several attacks on one risk. Its number is that of the worst of them, and the result says which one it was.

    Where records are attacked one by one (a protocol with `cascade`), each attack gets the records that withstood those
    before it. Elsewhere the adversary tries all of them on a victim of its own, trained on its own records, and reports
    the best of them there: choosing by the answers that are reported would take luck for strength.

    Args:
        risk: the risk of all its attacks.
        attacks: by the name under which a result shows them; at least one.
        strength: how thorough it is, in a word; for readers.
        knows_defense: does the adversary train the victim of its own with the defence?
    """

    def __init__(
        self, *, risk: str, attacks: Mapping[str, Attack], strength: str = "", knows_defense: bool = True
    ) -> None:
        if not attacks:
            raise SettingError("`attacks` must name at least one attack")
        for name, attack in attacks.items():
            if isinstance(attack, Suite):
                raise SettingError(f"`attacks.{name}` must be an attack, got a suite")
            if attack.risk != risk:
                raise SettingError(f"`attacks.{name}` must be an attack on {risk}, got one on {attack.risk}")
        self.risk = risk
        self.attacks = dict(attacks)
        self.strength = strength
        self.knows_defense = knows_defense

    def settings(self) -> dict[str, Any]:
        """With its attacks as JSON."""
        members = {name: {"class": kind_of(one), **one.settings()} for name, one in self.attacks.items()}
        return {**super().settings(), "attacks": members}

    def name_in_words(self) -> str:
        """How many attacks it has: their names are in the result."""
        return f"suite of {len(self.attacks)} attacks"

    def models_trained(self) -> int:
        """Those of all its attacks."""
        return sum(attack.models_trained() for attack in self.attacks.values())

    def settable(self) -> tuple[str, ...]:
        """Also every hyper-parameter of its attacks."""
        return tuple(
            dict.fromkeys((*self.parameters(), *(name for a in self.attacks.values() for name in a.settable())))
        )

    def changed(self, **changes: Any) -> Self:
        """A copy; a hyper-parameter of its attacks is changed in all that have it."""
        own = {name: changes.pop(name) for name in tuple(changes) if name in self.parameters()}
        for name in changes:
            if name not in self.settable():
                raise SettingError(f"`{name}` must be a setting of an attack of the suite")
        members = {
            key: one.changed(**{name: value for name, value in changes.items() if name in one.settable()})
            for key, one in self.attacks.items()
        }
        kept: dict[str, Any] = {name: getattr(self, name) for name in self.parameters()} | {"attacks": members}
        return type(self)(**{**kept, **own})

    def for_trial(self) -> Self:
        """A copy whose attacks do as little work as shows that they work."""
        return self.changed(attacks={name: attack.for_trial() for name, attack in self.attacks.items()})

    def describe(self) -> dict[str, Any]:
        """With the digests of its attacks."""
        members = {name: one.describe() for name, one in self.attacks.items()}
        return {"class": kind_of(self), "code": code_digest(type(self).__module__), "attacks": members} | {
            "knows_defense": self.knows_defense
        }

    def __repr__(self) -> str:
        return f"Suite({self.risk}: {', '.join(self.attacks)})"


def members_of(attack: Attack) -> dict[str, Attack]:
    """The attacks of a suite by name; of a single one itself."""
    return attack.attacks if isinstance(attack, Suite) else {"": attack}


def measure_suite(suite: Suite, victim: Victim, splits: DataSplits, measure: Measure) -> Measured:
    """Choose among the attacks on a victim of the adversary's own, and measure all of them on the victim.

    Every metric that decides the risk is that of the attack which did worst on the adversary's victim; the others stand
    beside it as `<attack>.<metric>`. Metrics that decide nothing are those of the attack that decides the first one.

    Args:
        suite: what the victim can be attacked with.
        victim: who is attacked.
        splits: of the assessment.
        measure: measures one attack on one victim.
    """
    found = {name: measure(victim, attack, splits) for name, attack in suite.attacks.items()}
    first = next(iter(found))
    chosen, tried, warnings = dict[str, str](), dict[str, dict[str, float]](), list[str]()
    if len(found) > 1:
        tried, failed = _rehearsed(suite, victim, splits, measure)
        warnings += [
            f"{victim.name}: {name} could not be tried on a victim of the adversary's own ({error}), and so cannot be "
            f"the attack that decides {suite.risk}. Its own number is {name}.*"
            for name, error in failed.items()
        ]
    for name, facts in _deciding(found[first].measurement):
        scores = {member: _harm(numbers.get(name, math.nan), facts) for member, numbers in tried.items()}
        chosen[name] = max(scores, key=lambda member: scores[member]) if scores else first
    return _combined(found, chosen or {"": first}, tried, warnings)


def _combined(
    found: Mapping[str, Measured],
    chosen: Mapping[str, str],
    tried: Mapping[str, Mapping[str, float]],
    warnings: Sequence[str],
) -> Measured:
    lead = next(iter(chosen.values()))
    numbers = Measurement()
    numbers.add(found[lead].measurement)
    for name, member in chosen.items():
        if member != lead:
            _replace(numbers, found[member].measurement, name)
    for member, one in found.items():
        for name, facts in _deciding(one.measurement):
            _replace(numbers, one.measurement, name, f"{member}.{name}")
            label = f"{facts.label} ({member})"
            numbers.facts[f"{member}.{name}"] = dataclasses.replace(facts, decides=False, label=label)
            numbers.influences.pop(f"{member}.{name}", None)
    numbers.warnings += [text for text in warnings if text not in numbers.warnings]
    manifest = {**found[lead].manifest, "suite": {"attacks": list(found), "decided": dict(chosen), "tried": tried}}
    return Measured(measurement=numbers, manifest=manifest, arrays=dict(found[lead].arrays))


def _replace(numbers: Measurement, other: Measurement, name: str, under: str = "") -> None:
    """Take one metric from another measurement, with all that is known of it."""
    for mine, theirs in (
        (numbers.metrics, other.metrics),
        (numbers.baselines, other.baselines),
        (numbers.intervals, other.intervals),
        (numbers.influences, other.influences),
        (numbers.invalid, other.invalid),
        (numbers.facts, other.facts),
    ):
        mine.pop(under or name, None)
        if name in theirs:
            mine[under or name] = theirs[name]  # pyright: ignore[reportArgumentType]


def _deciding(numbers: Measurement) -> list[tuple[str, MetricFacts]]:
    found = [(name, facts) for name, facts in numbers.facts.items() if facts.decides and name in numbers.metrics]
    return sorted(found, key=lambda pair: pair[1].rank)


def _harm(value: float, facts: MetricFacts) -> float:
    """The larger, the worse for the victim."""
    if math.isnan(value):
        return -math.inf
    return -value if facts.harm == "lower" else value


def _rehearsed(
    suite: Suite, victim: Victim, splits: DataSplits, measure: Measure
) -> tuple[dict[str, dict[str, float]], dict[str, Exception]]:
    """By attack, the deciding metrics on a victim that the adversary trains on a part of its own records.

    And why the others could not be tried, which is mostly for want of records.
    """
    stream, records = splits.attack_stream("rehearsal"), splits.adversary_records
    mine, theirs = (round(share * len(records)) for share in _REHEARSAL)
    parts = stratified_split(records.y, [mine, theirs, len(records) - mine - theirs], (stream / "split").generator())
    own, other, test = (records.take(part) for part in parts)
    data = dataclasses.replace(splits.data, train=records.take(torch.cat([*parts[:2]])), test=test)
    tried = splits.changed(data=data, victim_records=own, adversary_records=other, stream=stream)
    recipe = victim.recipe if suite.knows_defense else splits.plain_recipe
    trial = Victim(f"the adversary's own {victim.name}", recipe, own, stream / "victim")
    found, failed = dict[str, dict[str, float]](), dict[str, Exception]()
    for name, attack in suite.attacks.items():
        try:
            numbers = measure(trial, attack, tried).measurement
            found[name] = {metric: numbers.metrics[metric] for metric, _ in _deciding(numbers)}
        except (Diverged, IncompatibleError, SettingError) as error:
            failed[name] = error
    return found, failed
