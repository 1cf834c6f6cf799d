"""Does an attack keep to its contract?"""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from amulet.assessment.engine import assess, check
from amulet.assessment.plan import protocol_of
from amulet.assessment.risks import RISKS
from amulet.core.component import Attack
from amulet.core.errors import IncompatibleError
from amulet.datasets.base import AmuletDataset
from amulet.testing.evidence import difference, evidence_problems, measurement_problems, number_problems
from amulet.testing.laboratory import Laboratory, Watchful, kinds_of_data, tiny
from amulet.testing.problems import blamed, settle
from amulet.testing.schema import Yaml, component_problems, instance_of, unwritten
from amulet.testing.traces import watched
from amulet.training.defense import Defense
from amulet.training.runtime import Runtime


def check_attack(
    attack: Attack | type[Attack],
    yaml: Yaml | None = None,
    *,
    defenses: Sequence[Defense] | None = None,
    data: AmuletDataset | None = None,
) -> None:
    """Try an attack on a small victim, by the protocol of its risk.

    Its settings are stored unchanged under their own names, and its option lists them. The same stream gives the same
    evidence, which is about the records that it names and stays within the budget that the protocol holds it to.
    Nothing is left on the victim, on the records, in the global random generators. Against every defence it ends in
    numbers, or is refused with the reason before anything is trained.

    Args:
        attack: one with its settings, or the class.
        yaml: its option: a file, or its content.
        defenses: those that it is run against; if not given all that the risks' packages define.
        data: what to try it on, if neither the kit's table nor its pictures will do.

    Raises:
        AssertionError: everything that is wrong.
    """
    made = instance_of(attack, Attack)
    who = type(made).__name__
    settle(who, component_problems(made, yaml))
    quick = tiny(made)
    chosen = _suitable(who, quick, data)
    settle(who, _conduct(who, quick, chosen))
    against = every_defense() if defenses is None else defenses
    settle(who, _composition(who, quick, [tiny(defense) for defense in against], chosen))


def every_defense() -> list[Defense]:
    """The defences that the risks' packages define, with their defaults, by the names of their classes."""
    found: dict[str, type[Defense]] = {}
    for risk in RISKS.values():
        package = risk.protocol.rpartition(".")[0]
        if importlib.util.find_spec(f"{package}.defenses"):
            kinds = vars(importlib.import_module(f"{package}.defenses")).values()
            theirs = (one for one in kinds if isinstance(one, type) and issubclass(one, Defense))
            found |= {one.__name__: one for one in theirs if one.__module__.startswith(f"{package}.")}
    return [found[name]() for name in sorted(found) if not unwritten(found[name])]


def _suitable(who: str, attack: Attack, data: AmuletDataset | None) -> AmuletDataset:
    """The first data set on which the attack makes sense."""
    reasons: list[str] = []
    for one in kinds_of_data() if data is None else [data]:
        try:
            with blamed(who, "it is checked", may_refuse=True):
                check(Laboratory(one).plan(attack, metrics=(attack.risk,)))
        except IncompatibleError as refused:
            reasons.append(f"{one.modality}: {refused}")
            continue
        return one
    raise AssertionError(f"{who} refuses all data that it was to be tried on; give it some as `data=`: {reasons}")


def _conduct(who: str, attack: Attack, data: AmuletDataset) -> Iterator[str]:
    """What one attack on an undefended victim leaves behind, and whether it comes out the same again."""
    protocol = protocol_of(attack.risk)
    problems: list[str] = []
    found: list[Any] = []
    before = repr(attack)
    for attempt in range(2):
        laboratory = Laboratory(data)
        splits = laboratory.splits()
        victim = laboratory.victim(splits)
        with blamed(who, "it attacks"), watched(problems, splits, victim.model, seed=attempt):
            found.append(protocol.assess(victim, attack.changed() if attempt else attack, splits))
    if repr(attack) != before:
        problems.append(f"changes its own settings: {before} became {attack!r}")
    problems += evidence_problems(found[0], data)
    if not problems and (differs := difference(*found)):
        problems.append(f"is not deterministic: with the same stream {differs} differs")
    yield from problems
    if not problems:
        with blamed(who, "what it found is measured"):
            measured = protocol.measure(found[0])
        yield from measurement_problems(measured, tuple(found[0].warnings), attack.risk)
    with blamed(who, "it has another stream"):
        other = Laboratory(data, seed=1)
        splits = other.splits()
        yield from evidence_problems(protocol.assess(other.victim(splits), attack, splits), data)


def _composition(who: str, attack: Attack, defenses: Sequence[Defense], data: AmuletDataset) -> Iterator[str]:
    laboratory = Laboratory(data)
    for defense in defenses:
        yield from composed(partial(blamed, who, may_refuse=True), laboratory, attack, (defense,), (attack.risk,))


def composed(
    blaming: Any, laboratory: Laboratory, attack: Attack | None, defenses: tuple[Defense, ...], metrics: tuple[str, ...]
) -> Iterator[str]:
    """What is wrong when an attack meets defences: an error, a refusal that comes late, a number that is not there."""
    beside = " and ".join(type(defense).__name__ for defense in defenses)
    seen = Watchful()
    runtime = Runtime(store=laboratory.runtime.store, reporter=seen)
    plan = laboratory.plan(attack, *defenses, metrics=metrics, runtime=runtime)
    try:
        with blaming(f"it meets {beside}"):
            outcome = assess(plan)
    except IncompatibleError as refused:
        if seen.stages:
            yield f"with {beside} it is refused only after {', '.join(seen.stages[:2])}: {refused}"
        elif not str(refused):
            yield f"with {beside} it is refused without a reason"
        return
    for victim, numbers in outcome.metrics.items():
        yield from (f"with {beside}, {victim}: {text}" for text in number_problems(numbers, tuple(outcome.warnings)))


def quick_attack(risk: str, defenses: Sequence[Defense] = ()) -> Attack:
    """The default attack on a risk, with little work."""
    return tiny(protocol_of(risk).default_attack(defenses))


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two models have the same weights and buffers."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
