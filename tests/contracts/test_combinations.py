"""The table of what runs on what: as `check` says today, of data sets as they are."""

from pathlib import Path

import pytest

import amulet.datasets
from amulet.assessment.combinations import DataFacts, stand_in, why_not
from amulet.core import IncompatibleError
from amulet.datasets import CATALOG, AmuletDataset, load_census
from amulet_cli.views.combinations import datasets, markdown, options, reasons
from tests.helpers.components import ATTACKS, DEFENSES

FACTS = datasets()


def test_the_page_has_every_data_set_attack_and_defence() -> None:
    """`make check` compares the page in docs/ with this one."""
    assert set(FACTS) == set(CATALOG), "every data set but a user's own says what it is like"
    page = markdown()
    for name, facts in FACTS.items():
        assert f"\n## {name}\n" in page
        assert {attack for attack, _ in reasons(facts)} == set(ATTACKS)
        assert {defense for _, defense in reasons(facts)} == set(DEFENSES)
    assert all(f"\n| {attack} |" in page for attack in ATTACKS)


def test_census_is_as_the_facts_say() -> None:
    data = load_census(limit=200)
    assert DataFacts.of(data) == FACTS["census"]
    assert DataFacts.of(stand_in(FACTS["census"])) == FACTS["census"]


@pytest.mark.parametrize("name", ["fmnist", "cifar10", "lfw"])
def test_real_data_is_as_the_facts_say(name: str, data_folder: Path) -> None:
    """And what `check` says of the real records is what it says of made-up ones of that kind."""
    data: AmuletDataset = getattr(amulet.datasets, f"load_{name}")(root=str(data_folder / name), limit=300)
    assert DataFacts.of(data) == FACTS[name]
    for group in ("attack", "defense"):
        for made in options(group).values():
            pair = (made, []) if group == "attack" else (None, [made] if made else [])
            assert why_not(data, *pair) == why_not(stand_in(FACTS[name]), *pair)


def test_why_not_says_what_a_run_would() -> None:
    attack = options("attack")["distribution_inference"]
    assert why_not(stand_in(FACTS["lfw"]), attack) is None
    reason = why_not(stand_in(FACTS["fmnist"]), attack)
    assert reason is not None
    with pytest.raises(IncompatibleError, match="needs a sensitive attribute") as caught:
        attack.chosen(stand_in(FACTS["fmnist"]).train)
    assert str(caught.value) == reason
