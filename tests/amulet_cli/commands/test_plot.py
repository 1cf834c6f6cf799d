"""`amulet plot`: the obvious figure, the one that is asked for, and mistakes that are told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amulet_cli.analysis.groups import aggregate
from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.commands import plot
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import Result
from amulet_cli.views.figures.catalogue import KINDS, Drawing, drawings
from tests.helpers.made_up_results import MadeUp, choices, write
from tests.helpers.report_toys import membership, people, pictures, sweep


def offered(folder: Path) -> list[Drawing]:
    results = find_results([folder])
    return drawings(aggregate(results), results)


def test_the_obvious_figure_of_a_sweep_is_the_risk_that_was_attacked(tmp_path: Path) -> None:
    sweep(tmp_path, 2)
    chosen, _ = plot.choose(offered(tmp_path))
    assert (chosen.kind, chosen.metric, chosen.key) == ("sweep", "fidelity_kappa", "defense.epsilon")
    assert "at 0.03 undefended" in chosen.description


@pytest.mark.parametrize(
    ("make", "kind"),
    [(membership, "roc"), (people, "groups"), (pictures, "reconstruction")],
    ids=["membership", "people", "pictures"],
)
def test_the_obvious_figure_of_one_attack(tmp_path: Path, make: Callable[[Path], Result], kind: str) -> None:
    make(tmp_path)
    chosen, _ = plot.choose(offered(tmp_path))
    assert chosen.kind == kind
    assert chosen.draw().axes


def test_the_obvious_figure_of_several_defences_is_the_matrix(tmp_path: Path) -> None:
    for defense in ("adv_training", "outlier_removal"):
        sweep(tmp_path, 1, (0.1,), defense)
    chosen, _ = plot.choose(offered(tmp_path))
    assert chosen.kind == "matrix"


def test_every_drawing_can_be_asked_for_by_its_own_command(tmp_path: Path) -> None:
    sweep(tmp_path, 2)
    membership(tmp_path)
    people(tmp_path)
    found = offered(tmp_path)
    assert {one.kind for one in found} == set(KINDS) - {"reconstruction", "figure3", "figure4"}
    for one in found:
        words = one.command
        again = offered(Path(words[2]))
        options = dict(zip(words[3::2], words[4::2], strict=True))
        chosen, _ = plot.choose(again, options["--kind"], options.get("--metric"), options.get("--x"))
        assert (chosen.kind, chosen.key) == (one.kind, one.key)
        assert chosen.metric == one.metric


def test_a_measurement_that_stands_beside_several_attacks_is_drawn_once(tmp_path: Path) -> None:
    membership(tmp_path)
    metrics = {"undefended": {"lira_online.auc": 0.76}, "defended": {"lira_online.auc": 0.58}}
    write(tmp_path, MadeUp(metrics), chosen=choices(defense="dp_sgd", attack="model_extraction"))
    [roc] = [one for one in offered(tmp_path) if one.kind == "roc"]
    assert roc.setting.startswith("census · linearnet · dp_sgd · lira")


@pytest.mark.parametrize("name", ["f.svg", "f.pdf", "f.png"])
def test_the_verb_writes_one_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    sweep(tmp_path / "outputs", 2, (0.01, 0.1))
    path = tmp_path / name
    assert main(["plot", str(tmp_path / "outputs"), "--metric", "fidelity", "-o", str(path)]) == 0
    assert path.stat().st_size > 1000
    described = capsys.readouterr().err
    assert "fidelity over epsilon of the defence" in described
    assert "written to" in described


@pytest.mark.parametrize(
    ("words", "message", "meant"),
    [
        (["nowhere"], "There is no folder `nowhere`", []),
        (["outputs", "--kind", "swep"], "`--kind` must be one of", ["--kind sweep"]),
        (["outputs", "--kind", "roc"], "No figure of these runs has `--kind` roc", []),
        (["outputs", "--metric", "fidelty"], "No figure of these runs has `--metric` fidelty", ["fidelity"]),
        (
            ["outputs", "--x", "defense.epsilom"],
            "No figure of these runs has `--x` defense.epsilom",
            ["defense.epsilon"],
        ),
        (["outputs", "-o", "f.pgn"], "A figure's name must end in one of .svg, .pdf, .png", ["f.png"]),
        (["outputs", "--knid", "roc"], "`--knid` is no flag of `amulet plot`", ["--kind"]),
        (["one"], "There is nothing to draw in these runs", []),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str, meant: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep(tmp_path / "outputs", 1, (0.01, 0.1))
    write(tmp_path / "one", MadeUp({"undefended": {"test_accuracy": 0.8}}), chosen=choices(defense="none"))
    with pytest.raises(UsageError) as error:
        plot.main(words)
    assert message in error.value.what
    assert error.value.meant == meant
    assert main(["plot", *words]) == 2
    assert not list(tmp_path.glob("figure*"))


def test_several_settings_are_not_thrown_together(tmp_path: Path) -> None:
    sweep(tmp_path, 1, (0.01, 0.1))
    sweep(tmp_path, 1, (0.01, 0.1), "trades")
    with pytest.raises(UsageError, match="2 settings have such a figure") as error:
        plot.choose(offered(tmp_path), "sweep", "fidelity")
    assert error.value.try_ is not None
    assert "adv_training" in error.value.try_


def test_evidence_that_is_gone_or_changed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = membership(tmp_path / "outputs").folder / "evidence.npz"
    monkeypatch.chdir(tmp_path)
    evidence.write_bytes(b"garbage")
    with pytest.raises(UsageError, match=r"`evidence.npz` in .* has no scores of lira_online"):
        plot.main(["outputs", "--kind", "roc"])
    assert "evidence.npz is left out: it is not what was written" in capsys.readouterr().err
    evidence.unlink()
    with pytest.raises(UsageError, match="There is no finished run") as error:
        plot.main(["outputs", "--kind", "roc"])
    assert "`evidence.npz` is missing" in (error.value.where or "")
