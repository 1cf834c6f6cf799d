"""Every attack has a section on its risk's page, with the facts by which a reader judges it."""

import re
from pathlib import Path
from typing import Any, cast

import pytest

from amulet.core import Attack
from amulet_cli.config.option_files import read_option
from amulet_cli.config.options import Option, find_options
from amulet_cli.views.combinations import options

PAGES = Path(__file__).resolve().parents[2] / "docs" / "risks"
FACTS = ("threat model", "access", "cost", "source", "use it", "checked against")
NO_SETTINGS = {"_target_", "about", "risk", "strengths"}
ATTACKS = {one.name: one for one in find_options(only="attack") if one.risk and not one.origin}


def node(option: Option) -> dict[str, Any]:
    """What the file of an option says."""
    return cast(dict[str, Any], read_option(Path(option.file)))


def sections(risk: str) -> dict[str, dict[str, str]]:
    """The facts in the table below each heading that begins with a name in code, by that name."""
    found: dict[str, dict[str, str]] = {}
    for section in re.split(r"^#+ ", (PAGES / f"{risk}.md").read_text("utf-8"), flags=re.MULTILINE):
        if match := re.match(r"`(\w+)`.*\n\n\| \| \|\n\|---\|---\|\n((?:\|.*\n)+)", section):
            rows = [line.strip("|").split(" | ", 1) for line in match[2].splitlines()]
            found[match[1]] = {key.strip(): fact.strip() for key, fact in rows}
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_the_page_of_its_risk_tells_what_an_attack_is(name: str) -> None:
    facts = sections(ATTACKS[name].risk).get(name, {})
    assert tuple(facts) == FACTS, f"docs/risks/{ATTACKS[name].risk}.md: a section ### `{name}` with these rows"
    assert all(facts.values())
    assert re.search(r"\b(19|20)\d\d\b", facts["source"]), "the year of its source"


def test_the_access_is_what_the_attack_states() -> None:
    attacks = [(name, made) for name, made in options("attack").items() if isinstance(made, Attack)]
    said = {name: sections(attack.risk)[name]["access"] for name, attack in attacks}
    assert not {name: one.needs.words() for name, one in attacks if not said[name].startswith(one.needs.words())}


@pytest.mark.parametrize("name", [name for name, option in ATTACKS.items() if option.suite])
def test_the_cost_of_a_suite_is_what_it_states(name: str) -> None:
    costs = node(ATTACKS[name])["about"]["cost"]
    said = sections(ATTACKS[name].risk)[name]["cost"]
    assert all(f"`{strength}` {cost:g}" in said for strength, cost in costs.items())


@pytest.mark.parametrize("risk", sorted({option.risk for option in ATTACKS.values()}))
def test_every_setting_is_on_the_page_or_on_one_that_it_links_to(risk: str) -> None:
    page = (PAGES / f"{risk}.md").read_text("utf-8")
    linked = [(PAGES / link).read_text("utf-8") for link in sorted(set(re.findall(r"\((\.\./\w+\.md)", page)))]
    words = {
        word
        for text in (page, *linked)
        for span in re.findall(r"`([^`\n]+)`", text)
        for word in re.findall(r"\w+", span)
    }
    for option in find_options():
        if option.risk == risk and option.group in ("attack", "defense") and not option.origin:
            assert set(node(option)) - NO_SETTINGS <= words, option.choice


def test_no_section_is_about_an_attack_that_is_not_there() -> None:
    assert not {name for risk in {one.risk for one in ATTACKS.values()} for name in sections(risk)} - set(ATTACKS)
