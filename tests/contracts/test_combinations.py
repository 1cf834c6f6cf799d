"""The table of what runs on what: as `check` says today, of data sets as they are."""

from pathlib import Path

import pytest

import amulet.datasets
from amulet.assessment.combinations import FACTS, Facts, stand_in, why_not
from amulet.core import IncompatibleError
from amulet.datasets import CATALOG, AmuletDataset, load_census
from amulet_cli.views.combinations import markdown, options, reasons
from tests.helpers.components import ATTACKS, DEFENSES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "combinations.md"


def facts_of(data: AmuletDataset) -> Facts:
    return Facts(data.name, data.modality, data.shape, data.num_classes, data.attributes)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "python -m amulet_cli.views.combinations > docs/combinations.md"
    )


def test_the_page_has_every_data_set_attack_and_defence() -> None:
    assert set(FACTS) == set(CATALOG)
    for name in FACTS:
        assert {attack for attack, _ in reasons(name)} == set(ATTACKS)
        assert {defense for _, defense in reasons(name)} == set(DEFENSES)


def test_census_is_as_the_facts_say() -> None:
    data = load_census(limit=200)
    assert facts_of(data) == FACTS["census"]
    assert facts_of(stand_in(FACTS["census"])) == FACTS["census"]


@pytest.mark.parametrize("name", ["fmnist", "cifar10", "lfw"])
def test_real_data_is_as_the_facts_say(name: str, data_folder: Path) -> None:
    """And what `check` says of the real records is what it says of made-up ones of that kind."""
    data: AmuletDataset = getattr(amulet.datasets, f"load_{name}")(root=str(data_folder / name), limit=300)
    assert facts_of(data) == FACTS[name]
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
