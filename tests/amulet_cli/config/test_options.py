"""Options of plug-ins beside Amulet's own and a user's: found, composed, refused where one hides another."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.config.options import find_options, names_of
from tests.helpers.plugin_toys import install, on_the_path

MINE = """\
_target_: amulet.evasion.attacks.EvasionPGD
about: {line: "one step", source: me, risk: evasion}
steps: 1
"""
EXPERIMENT = """\
# @package _global_
defaults:
  - override /attack: one_step
epochs: 3
"""


@pytest.fixture
def site(workdir: Path) -> Iterator[Path]:
    folder = workdir / "site"
    install(folder, "one_of_mine", {"attack/one_step": MINE, "experiment/brief": EXPERIMENT})
    with on_the_path(folder):
        yield folder


def test_a_plugins_options_are_found_and_named_as_its_own(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = (option for option in find_options() if option.name == "one_step")
    assert (found.group, found.origin, found.risk) == ("attack", "one_of_mine", "evasion")
    assert {option.origin for option in find_options()} == {"", "one_of_mine"}
    assert "one_step" in names_of("attack")
    assert main(["list", "attack"]) == 0
    assert "evasion · me · from one_of_mine" in capsys.readouterr().out
    assert main(["list", "--json"]) == 0
    rows = {row["choice"]: row["origin"] for row in json.loads(capsys.readouterr().out)}
    assert rows["attack=one_step"] == rows["+experiment=brief"] == "one_of_mine"
    assert rows["attack=evasion_pgd"] == ""


def test_a_plugins_options_are_composed(site: Path) -> None:
    (job,) = compose(parse(["attack=one_step"])).jobs
    assert job.config["attack"] == {"_target_": "amulet.evasion.attacks.EvasionPGD", "steps": 1}
    (job,) = compose(parse(["+experiment=brief"])).jobs
    assert (job.choices["attack"], job.config["epochs"]) == ("one_step", 3)


def test_hydra_finds_them_in_what_it_runs_by_itself(site: Path) -> None:
    words = ["run", "attack=one_step", "dataset.limit=200", "epochs=1", "model.hidden=[4]"]
    assert main(words) == 0
    assert list((site.parent / "outputs/census/linearnet/none/one_step").rglob("metrics.json"))


def test_a_users_folder_comes_on_top(site: Path) -> None:
    own = site.parent / "my_conf"
    (own / "attack").mkdir(parents=True)
    (own / "attack" / "mine.yaml").write_text(MINE)
    assert {"mine", "one_step", "evasion_pgd"} <= set(names_of("attack", own))
    (origin,) = (option.origin for option in find_options(own) if option.name == "mine")
    assert origin == "my_conf"
    (job,) = compose(parse(["attack=mine", "--config-dir", str(own)])).jobs
    assert job.config["attack"]["steps"] == 1
    (own / "attack" / "one_step.yaml").write_text(MINE)
    with pytest.raises(UsageError, match="`attack/one_step` is already an option of one_of_mine"):
        compose(parse(["attack=mine", "--config-dir", str(own)]))


def test_the_folder_of_a_plugin_can_be_named_too(site: Path) -> None:
    (job,) = compose(parse(["attack=one_step", "--config-dir", str(site / "one_of_mine" / "conf")])).jobs
    assert job.config["attack"]["steps"] == 1


@pytest.mark.parametrize(("option", "whose"), [("attack/lira", "Amulet"), ("attack/one_step", "one_of_mine")])
def test_an_option_that_hides_another_is_refused(
    option: str, whose: str, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site.parent / "more", "other", {option: MINE})
    with on_the_path(site.parent / "more"):
        for words in (["list"], ["validate"]):
            assert main(words) == 2
            shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
            assert f"`{option}` is already an option of {whose}, which would be used instead" in shown
            assert "another file name" in shown


def test_a_plugin_that_cannot_be_loaded_is_named_once_and_stops_nothing(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(workdir / "site", "broken", {"attack/lost": MINE}, code="raise RuntimeError('no\\nluck')")
    with on_the_path(workdir / "site"):
        assert main(["list", "attack"]) == 0
        shown = capsys.readouterr()
        (line,) = shown.err.splitlines()
        assert line == (
            "warning  the plug-in broken of broken cannot be loaded, what it brings is missing: RuntimeError: no luck"
        )
        assert "lost" not in shown.out
        assert main(["validate", "attack=lira", "dataset.limit=200"]) == 0
        assert "broken" not in capsys.readouterr().err
