"""`amulet list`."""

import json
from pathlib import Path

import pytest

from amulet_cli.base import console
from amulet_cli.cli import main
from amulet_cli.config.options import find_options
from tests.helpers.cli_helpers import own_options


def test_every_group_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for word in ("dataset", "census", "adv_training", "model_extraction", "utility", "+experiment", "evasion"):
        assert word in out
    assert "amulet list experiment" in out
    assert "smoke_images" not in out, "many options are only counted"
    for option in find_options():
        if option.group not in ("experiment", "paper_size"):
            assert option.name in out, option.choice
    assert main(["list", "experiment"]) == 0
    assert "smoke" in capsys.readouterr().out


def test_the_names_of_all_options_fit_on_two_screens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "width", 80)
    assert main(["list"]) == 0
    *lines, _ = capsys.readouterr().out.splitlines()  # the last is to be copied, and so in one piece
    assert len(lines) < 90
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["P1", "canary_audit,"] for line in lines), "attacks stand by risk"


def test_one_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "model"]) == 0
    out = capsys.readouterr().out
    assert "linearnet" in out
    assert "census" not in out


def test_every_option_of_ours_says_what_it_is() -> None:
    assert [option.choice for option in find_options() if not option.line] == []
    for option in find_options():
        if option.group in ("attack", "defense") and option.name != "none":
            assert option.risk or option.suite, option.choice
            assert option.source, option.choice
        if option.group == "defense" and option.name != "none":
            assert option.stage in ("before", "in", "after"), option.choice


def test_json_with_a_users_own_options(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    own_options(workdir)
    assert main(["list", "attack", "--json", "--config-dir=my_conf"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"none", "noise", "evasion_pgd"} <= set(rows)
    assert rows["noise"]["line"] == "Random noise"
    assert rows["noise"]["choice"] == "attack=noise"
    assert rows["needy"]["line"] == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["atack"], "`amulet list attack`?"),
        (["models"], "`amulet list model`?"),
        (["--jsno"], "`--json`?"),
        (["--config-dir", "nowhere"], "must be a folder"),
    ],
)
def test_mistakes(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", *words]) == 2
    assert expected in capsys.readouterr().err


def test_an_unreadable_option_is_named(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = own_options(workdir)
    (own / "attack" / "noise.yaml").write_text("a: [")
    assert main(["list", "--config-dir", str(own)]) == 2
    shown = capsys.readouterr().err.replace("│", "")
    assert "noise.yaml" in "".join(shown.split()), "the path may be cut by the end of a line"
