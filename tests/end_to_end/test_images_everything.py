"""Attacks against defences on pictures: finite metrics, or a reason that is given before any training."""

import dataclasses
import re
from itertools import product
from typing import Any

import pytest
from torch import Tensor

from amulet.assessment import Outcome, Plan, assess, check
from amulet.assessment.combinations import why_not
from amulet.core import Factory, IncompatibleError, Reporter, Stage
from amulet.datasets import AmuletDataset, Records
from amulet.models import inspect
from amulet.training import MemoryStore, Runtime
from tests.helpers.components import ATTACKS, DATAS_OWN, DEFENSES, assert_sound, pairs, quick_defaults, with_settings
from tests.helpers.components import option as tiny_option
from tests.helpers.image_toys import faces

PEOPLE = faces()
THINGS = faces(classes=3, attributes=False)  # like Fashion-MNIST: several classes, nobody's attributes
MORE = faces(320, 200, (3, 8, 16))
STORE = MemoryStore()
CONV = Factory("tests.helpers.image_toys.TinyConv")
FLAT = Factory("amulet.models.LinearNet", hidden=[4])
FEW: dict[str, Any] = {
    "attribute": "gender",
    "query_fraction": 0.4,
    "records": 40,
    "rate": 0.1,
    "noise_multiplier": 1.0,  # no search for the noise ...
}
"""By hyper-parameter, whatever component has it: what 200 faces can give."""

DEFAULTS = quick_defaults({**DATAS_OWN, **FEW})


def option(group: str, name: str) -> Any:
    made = tiny_option(group, name)
    if made is None:
        return None
    if "noise_multiplier" in made.parameters():
        return with_settings(made, {**FEW, "epsilon": None})  # ... of a budget
    return with_settings(made, FEW)


def plan(data: AmuletDataset, attack: str, defense: str, architecture: Factory, runtime: Runtime | None = None) -> Plan:
    made = option("defense", defense)
    return Plan(
        data=data,
        architecture=architecture,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=1,
        batch_size=50,
        attack=option("attack", attack),
        defenses=() if made is None else (made,),
        attack_settings=DEFAULTS,
        runtime=runtime or Runtime(store=STORE),
    )


def assert_measured(outcome: Outcome, attack: str, defense: str) -> None:
    assert_sound(outcome, 1 if defense == "none" else 2)
    for group, name in (("attack", attack), ("defense", defense)):
        if (made := option(group, name)) is not None:
            assert made.risk in outcome.manifest


def refusal(data: AmuletDataset, attack: str, defense: str) -> str | None:
    """Why they cannot meet on these data: things have no sensitive attributes, and some attacks are for tables."""
    made = option("defense", defense)
    return why_not(data, option("attack", attack), [] if made is None else [made])


def on_people(part: int | None = None) -> list[tuple[str, str]]:
    every = pairs(part) if part is not None else list(product(ATTACKS, DEFENSES))
    return [pair for pair in every if refusal(PEOPLE, *pair) is None]


@pytest.mark.parametrize(("attack", "defense"), on_people(1))
def test_pictures_of_people(attack: str, defense: str) -> None:
    assert_measured(assess(plan(PEOPLE, attack, defense, CONV)), attack, defense)


@pytest.mark.parametrize(("attack", "defense"), on_people(2))
def test_pictures_of_things(attack: str, defense: str) -> None:
    data = THINGS if refusal(THINGS, attack, defense) is None else PEOPLE
    assert_measured(assess(plan(data, attack, defense, CONV)), attack, defense)


class Watchful(Reporter):
    """Notes every stretch of work."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        self.stages.append(name)
        return Stage(name, total, unit)


def test_what_makes_no_sense_is_refused_before_anything_is_trained() -> None:
    reasons = {pair: why for pair in product(ATTACKS, DEFENSES) if (why := refusal(THINGS, *pair))}
    assert any("sensitive attribute" in why for why in reasons.values())
    assert any("possible records" in why for why in reasons.values())
    for (attack, defense), why in reasons.items():
        seen = Watchful()
        one = plan(THINGS, attack, defense, CONV, runtime=Runtime(reporter=seen))
        for refuse in (check, assess):
            with pytest.raises(IncompatibleError, match=re.escape(why)):
                refuse(one)
        assert not seen.stages, f"{attack} x {defense}: work was done before the reason was given"


@pytest.mark.parametrize(
    ("attack", "defense"),
    [(attack, defense) for attack, defense in on_people() if "none" in (attack, defense)],
)
def test_no_split_is_ever_floats_as_a_whole(attack: str, defense: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """202,599 pictures of 3 x 64 x 64 would be 10 GB: a batch at a time is float32, of 520 as of 202,599."""
    monkeypatch.setattr(inspect, "VALUES_AT_ONCE", 2**16)
    scaled, most = Records.inputs, inspect.batch_size_for(MORE.shape)
    assert most < len(MORE.test) < len(MORE.train)

    def inputs(self: Records, index: Tensor | slice | None = None) -> Tensor:
        found = scaled(self, index)
        assert len(found) <= most, f"{len(found)} pictures in float32 at once"
        return found

    monkeypatch.setattr(Records, "inputs", inputs)
    made = plan(MORE, attack, defense, FLAT)
    if made.attack is not None:
        made = dataclasses.replace(made, attack=with_settings(made.attack, {"knows_inputs": True, "batch_size": 64}))
    assert_measured(assess(made), attack, defense)
