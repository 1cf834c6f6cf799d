"""Attacks against defences, and pairs of defences, on a tiny census: finite metrics, or a reason.

Each attack meets each defence once, in one of three worlds: a third of the pairs here, the others on the pictures of
`tests/end_to_end/test_images_everything.py`. So every attack and every defence is in each world. An attack that refuses
tables is tried on pictures here too.
"""

from itertools import combinations

import pytest

from amulet.assessment import Outcome, Plan, assess, check
from amulet.assessment.combinations import why_not
from amulet.core import Factory, IncompatibleError
from amulet.datasets import AmuletDataset, load_census
from amulet.testing.laboratory import people
from amulet.training import MemoryStore, Runtime
from tests.helpers.components import DEFENSES, assert_sound, option, pairs, quick_defaults

CENSUS = load_census(limit=1200)
RUNTIME = Runtime(store=MemoryStore())
DEFAULTS = quick_defaults()


def suited(attack: str) -> AmuletDataset:
    """Census, or made-up pictures where the attack refuses a table."""
    made = option("attack", attack)
    return CENSUS if made is None or why_not(CENSUS, made) is None else people("image")


def run(attack: str, *defenses: str) -> Outcome:
    chosen = tuple(made for name in defenses if (made := option("defense", name)) is not None)
    return assess(
        Plan(
            data=suited(attack),
            architecture=Factory("amulet.models.LinearNet", hidden=[16]),
            optimizer=Factory("torch.optim.Adam", lr=1e-2),
            epochs=2,
            batch_size=64,
            attack=option("attack", attack),
            defenses=chosen,
            attack_settings=DEFAULTS,
            runtime=RUNTIME,
        )
    )


@pytest.mark.parametrize(("attack", "defense"), pairs(0))
def test_an_attack_against_a_defence(attack: str, defense: str) -> None:
    outcome = run(attack, defense)
    assert_sound(outcome, 1 if defense == "none" else 2)
    wanted = option("attack", attack)
    if wanted is not None:
        assert wanted.risk in outcome.manifest
    made = option("defense", defense)
    if made is not None:
        assert made.risk in outcome.manifest, "the defence's own risk is measured too"


PAIRS = [pair for pair in combinations(DEFENSES, 2) if "none" not in pair]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_two_defences_at_once(pair: tuple[str, str]) -> None:
    outcome = run("none", *pair)
    assert_sound(outcome, 2)
    for name in pair:
        assert option("defense", name).risk in outcome.manifest, "both own risks are reported"
    report = outcome.manifest["training"]["defended"]
    if "epsilon" in report:  # a guarantee about single records holds beside defences that treat each by itself
        private = all(option("defense", name).per_record or option("defense", name).stage == "after" for name in pair)
        assert (report["epsilon"] is not None) == private
        assert private or any("epsilon" in w for w in outcome.warnings), outcome.warnings


@pytest.mark.parametrize("name", [name for name in DEFENSES if name != "none"])
def test_a_pair_of_one_defence_is_refused(name: str) -> None:
    twice = (option("defense", name), option("defense", name))
    with pytest.raises(IncompatibleError, match="chosen twice"):
        check(
            Plan(
                data=CENSUS,
                architecture=Factory("amulet.models.LinearNet"),
                optimizer=Factory("torch.optim.Adam"),
                defenses=twice,
            )
        )
