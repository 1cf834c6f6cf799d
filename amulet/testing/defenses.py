"""Does a defence keep to its contract?"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, get_args

import torch

from amulet.assessment.engine import check
from amulet.assessment.risks import RISKS
from amulet.core.component import Attack
from amulet.core.errors import IncompatibleError
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.testing.attacks import composed, every_defense, quick_attack, same_weights
from amulet.testing.laboratory import Laboratory, kinds_of_data, tiny
from amulet.testing.problems import blamed, settle
from amulet.testing.schema import Yaml, component_problems, instance_of
from amulet.testing.traces import watched
from amulet.training.defense import Defense
from amulet.training.hook import Hook
from amulet.training.recipe import DefenseStage, Prepared, Recipe, Trained


def check_defense(
    defense: Defense | type[Defense],
    yaml: Yaml | None = None,
    *,
    attacks: Sequence[Attack] | None = None,
    defenses: Sequence[Defense] | None = None,
    data: AmuletDataset | None = None,
) -> None:
    """Train with a defence on small data, alone and beside every other one, and attack what comes out.

    Its settings are stored unchanged under their own names, and its option lists them. It acts at the stage that it
    names. The same stream gives the same model; records and global random generators stay as they are. What it makes
    of the records is in range, and about the records that it names. Every pair of defences trains to finite weights,
    and every attack ends in numbers, or is refused with the reason before anything is trained.

    Args:
        defense: one with its settings, or the class.
        yaml: its option: a file, or its content.
        attacks: those that it meets; the default attack of every risk if not given.
        defenses: those that it is trained beside; if not given all that the risks' packages define.
        data: what to try it on, if neither the kit's table nor its pictures will do.

    Raises:
        AssertionError: everything that is wrong.
    """
    made = instance_of(defense, Defense)
    who = type(made).__name__
    settle(who, [*component_problems(made, yaml), *_stage_problems(made)])
    quick = tiny(made)
    chosen = _suitable(who, quick, data)
    settle(who, _training(who, quick, chosen))
    laboratory = Laboratory(chosen)
    problems: list[str] = []
    for attack in _attacks(quick) if attacks is None else attacks:
        problems += composed(partial(blamed, who, may_refuse=True), laboratory, tiny(attack), (quick,), (attack.risk,))
    for other in every_defense() if defenses is None else defenses:
        if type(other) is not type(quick):
            for pair in ((quick, tiny(other)), (tiny(other), quick)):
                problems += composed(partial(blamed, who, may_refuse=True), laboratory, None, pair, ("utility",))
    settle(who, problems)


def _attacks(defense: Defense) -> Iterator[Attack]:
    for risk in RISKS:
        yield quick_attack(risk, (defense,))


def _stage_problems(made: Defense) -> Iterator[str]:
    stages = get_args(DefenseStage)
    stage = getattr(made, "stage", None)
    if stage not in stages:
        yield f"`stage` must be one of {', '.join(stages)}; it is {stage!r}"
    if stage == "before" and type(made).prepare is Defense.prepare:
        yield "acts before training, and does not write `prepare`"
    if stage == "in" and type(made).hook is Defense.hook:
        yield "acts in training, and does not write `hook`"
    if stage == "after" and type(made).hook is not Defense.hook:
        yield "acts after training, and has a `hook`"


def _suitable(who: str, defense: Defense, data: AmuletDataset | None) -> AmuletDataset:
    reasons: list[str] = []
    for one in kinds_of_data() if data is None else [data]:
        try:
            with blamed(who, "it is checked", may_refuse=True):
                check(Laboratory(one).plan(None, defense, metrics=("utility",)))
        except IncompatibleError as refused:
            reasons.append(f"{one.modality}: {refused}")
            continue
        return one
    raise AssertionError(f"{who} refuses all data that it was to be tried on; give it some as `data=`: {reasons}")


def _training(who: str, defense: Defense, data: AmuletDataset) -> Iterator[str]:
    problems: list[str] = []
    made: list[Trained] = []
    before = repr(defense)
    for attempt in range(2):
        laboratory = Laboratory(data)
        splits = laboratory.splits(defense)
        with blamed(who, "a model is trained with it"), watched(problems, splits, seed=attempt):
            mine = (defense.changed() if attempt else defense).bound(data)
            recipe = laboratory.recipe.changed(
                architecture=mine.adapt(laboratory.recipe.architecture), defenses=(mine,)
            )
            made.append(recipe.produce(splits.victim_records, splits.stream / "victim"))
    if repr(defense) != before:
        problems.append(f"changes its own settings: {before} became {defense!r}")
    if not problems and not (same_weights(made[0].model, made[1].model) and _kept(made[0]) == _kept(made[1])):
        problems.append("is not deterministic: with the same stream another model comes out")
    if any(not value.isfinite().all() for value in made[0].model.state_dict().values()):
        problems.append("trains to weights that are not finite")
    yield from problems
    splits = Laboratory(data).splits(defense)
    plain = Laboratory(data).recipe
    if defense.stage == "before":
        with blamed(who, "it prepares records"):
            prepared = defense.bound(data).prepare(splits.victim_records, plain, splits.stream / "victim")
        yield from _prepared_problems(prepared, splits.victim_records, data)
    if defense.stage == "in":
        first, second = defense.hook(), defense.hook()
        if not isinstance(first, Hook):
            yield f"`hook()` must give a Hook, it gives {type(first).__name__}"
        elif first is second:
            yield "`hook()` gives the same hook twice: one training would go on where another ended"
    if defense.stage == "after" and not same_weights(made[0].model, _plainly(defense, plain, splits)):
        yield "acts after training, and changes what is trained"


def _plainly(defense: Defense, plain: Recipe, splits: Any) -> torch.nn.Module:
    recipe = plain.changed(architecture=defense.adapt(plain.architecture))
    return recipe.fit(splits.victim_records, splits.stream / "victim")


def _prepared_problems(prepared: Any, given: Records, data: AmuletDataset) -> Iterator[str]:
    if not isinstance(prepared, Prepared):
        yield f"`prepare` must return Prepared records, it returns {type(prepared).__name__}"
        return
    records = prepared.records
    if records.x.dtype != given.x.dtype or records.shape != given.shape:
        yield f"prepares inputs {records.shape} {records.x.dtype} of inputs {given.shape} {given.x.dtype}"
    if records.x.is_floating_point() and (records.x.min() < 0 or records.x.max() > 1):
        yield "prepares inputs outside [0, 1]"
    if records.y.min() < 0 or records.y.max() >= data.num_classes:
        yield f"prepares labels outside 0 to {data.num_classes - 1}"
    ids = records.ids
    if not bool(torch.isin(ids[ids >= 0], given.ids).all()):
        yield "prepares records that it was not given; ids of made-up ones are negative"
    arrays = prepared.arrays
    if "ids" in arrays:
        longer = [name for name, array in arrays.items() if len(array) != len(arrays["ids"])]
        if longer:
            yield f"keeps `{longer[0]}` with another number of entries than `ids`"


def _kept(trained: Trained) -> dict[str, Any]:
    return {name: value for name, value in trained.report.items() if name != "seconds"}
