"""The Tab key."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from amulet_cli.base.flags import FILES, FOLDERS
from amulet_cli.cli import main
from amulet_cli.commands import VERBS, load
from amulet_cli.commands.completion import candidates
from amulet_cli.views import registry
from amulet_cli.views.registry import Shown, View
from tests.helpers.cli_helpers import command, own_options

BASH = shutil.which("bash")
ZSH = shutil.which("zsh")
FISH = shutil.which("fish")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("amulet ru", ["run "]),
        ("amulet validate defense=adv", ["defense=adv_debiasing ", "defense=adv_training "]),
        ("amulet run seco", ["second_defense="]),
        ("amulet run second_defense=out", ["second_defense=outlier_removal "]),
        ("amulet run defense=adv_training defense.eps", ["defense.epsilon="]),
        ("amulet run -m defense=none,adv_training defense=none,out", ["defense=none,outlier_removal "]),
        ("amulet run -m attack=evasion_pgd,model_extraction attack.rel", ["attack.rel_step_size="]),
        ("amulet run +exp", ["+experiment="]),
        ("amulet run +experiment=smoke_", ["+experiment=smoke_images "]),
        ("amulet run model.hid", ["model.hidden="]),
        ("amulet run --mul", ["--multirun "]),
        ("amulet run hydra/launcher=b", ["hydra/launcher=basic "]),
        ("amulet run defense=nope atta", ["attack="]),
        ("amulet run hyd", ["hydra/"]),
        ("amulet run +paper_size=qu", ["+paper_size=quick "]),
        ("amulet run metric=[utility,evas", ["metric=[utility,evasion"]),
        ("amulet run precision=", ["precision=auto ", "precision=float32 ", "precision=amp "]),
        ("amulet run force=t", ["force=true "]),
        ("amulet run batch_size=", ["batch_size=256 "]),
        ("amulet run schedule=", []),
        ("amulet run 'seed=range(0,3)' -m defense=dp_sgd defense.del", ["defense.delta="]),
        ("amulet run 'seed=range(0, defense=dp_s", ["defense=dp_sgd "]),
        ("amulet run checkpoint=", [FILES]),
        ("amulet run output_dir=", [FOLDERS]),
        ("amulet run --config-dir ", [FOLDERS]),
        ("amulet run --cfg ", ["job ", "hydra ", "all "]),
        ("amulet run --cfg=j", ["--cfg=job "]),
        ("amulet validate --cf", []),
        ("amulet matrix ris", ["risks="]),
        ("amulet matrix risks=S1,S", ["risks=S1,S2 ", "risks=S1,S3 "]),
        ("amulet matrix defenses=dp_sgd,wat", ["defenses=dp_sgd,watermark "]),
        ("amulet matrix defenses=no", []),
        ("amulet matrix seeds=", []),
        ("amulet matrix dataset=cens", ["dataset=census "]),
        ("amulet matrix defenses=dp_sgd defense.del", ["defense.delta="]),
        ("amulet matrix att", ["attack="]),
        ("amulet report ", [FOLDERS]),
        ("amulet report --ht", ["--html "]),
        ("amulet report --html ", [FILES]),
        ("amulet report --html=", [FILES]),
        ("amulet report --metrics ", []),
        ("amulet vi", ["view "]),
        ("amulet view ", [FOLDERS]),
        ("amulet view --no", ["--no-open "]),
        ("amulet view --port ", []),
        ("amulet plot --kind ro", ["robustness ", "roc "]),
        ("amulet plot --metric ", []),
        ("amulet plot -o ", [FILES]),
        ("amulet compare a ", [FOLDERS]),
        ("amulet list att", ["attack "]),
        ("amulet list --js", ["--json "]),
        ("amulet list --json=", []),
        ("amulet data sh", ["show "]),
        ("amulet data fetch c", ["census ", "cifar10 ", "celeba "]),
        ("amulet data verify census ce", ["celeba "]),
        ("amulet data show lfw tar", ["target="]),
        ("amulet data show lfw root=", [FOLDERS]),
        ("amulet data show --save ", [FILES]),
        ("amulet completion z", ["zsh "]),
        ("amulet --ver", ["--version "]),
        ("amulet nope ", []),
    ],
)
def test_candidates(line: str, expected: list[str]) -> None:
    assert candidates(line) == expected


def test_all_commands_and_groups_are_offered() -> None:
    assert {"run ", "list ", "data "} <= set(candidates("amulet "))
    offered = candidates("amulet run ")
    assert {"defense=", "attack=", "epochs=", "seed=", "second_defense=", "+experiment="} <= set(offered)
    assert not [name for name in offered if "about" in name or "_target_" in name or name.startswith("hydra")]


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_a_page_is_taken_and_offered(verb: str) -> None:
    line = load(verb).command_line()
    offered = {name.strip() for name in candidates(f"amulet {verb} -")}
    assert offered == {*(flag.name for flag in line.flags), "--help"}
    for flag in line.flags:
        value = next(iter(line.choices.get(flag.name, ["x"]))) if flag.value else ""
        for name in flag.names:
            assert line.parse([name, value] if value else [name]) == ([], {flag.name: value})


def test_a_plug_ins_flag_and_kinds_are_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    view = View(name="theirs", names=("one", "two"), kinds={"rings": "what they draw"}, shown=_nothing)
    monkeypatch.setattr(registry, "_registered", {"theirs": view})
    assert candidates("amulet report --th") == ["--theirs "]
    assert candidates("amulet report --theirs o") == ["one "]
    assert candidates("amulet plot --kind ri") == ["rings "]
    assert main(["report", "--help"]) == main(["plot", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "  --theirs NAME\n" in shown
    assert "what they draw" in shown


def _nothing(_name: str, _results: object) -> Shown:
    raise AssertionError


def test_a_users_own_options_are_offered(workdir: Path) -> None:
    own_options(workdir)
    assert candidates("amulet run --config-dir my_conf attack=noi") == ["attack=noise "]
    assert candidates("amulet run --config-dir my_conf attack=noise attack.sec") == ["attack.seconds="]


def test_a_wrong_shell_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@pytest.mark.parametrize("breaks", [" \t\n\"'@><=;|&(:", " \t\n"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("amulet val", "validate "),
        ("amulet run defense=adv_t", "defense=adv_training "),
        ("amulet run -m attack=none,evasion_p", "attack=none,evasion_pgd "),
        ("amulet plot -o wi", "wide.pt"),
        ("amulet report wi", "wide"),
        ("amulet plot --metric wi", ""),
    ],
)
def test_bash(line: str, expected: str, breaks: str, tmp_path: Path) -> None:
    """What Readline would put in place of what follows the last word break."""
    script = """
        eval "$(amulet completion bash)"
        COMP_WORDBREAKS="$BREAKS"
        complete -p amulet >&2
        _amulet_complete
        printf '%s|' "${COMPREPLY[@]}"
    """
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide.pt").touch()
    run = _in_shell([str(BASH), "--norc", "-c", script], tmp_path, line, BREAKS=breaks)
    word = line.rpartition(" ")[2]
    kept = max(word.rfind("="), word.rfind(",") if "," in breaks else -1) + 1 if "=" in breaks else 0
    found = run.stdout.split("|")[:-1]
    assert expected[kept:] in found
    assert len(found) == 1 or line.endswith("-o wi"), "a folder leads to files"
    assert "-F _amulet_complete amulet" in run.stderr


@pytest.mark.skipif(ZSH is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("amulet val", "validate "),
        ("amulet run defense=adv_t", "defense=adv_training "),
        ("amulet run checkpoint=wi", "files"),
        ("amulet report wi", "files -/"),
        ("amulet plot --metric wi", ""),
    ],
)
def test_zsh(line: str, expected: str, tmp_path: Path) -> None:
    script = """
        compdef() { print -u2 "compdef $*" }
        compadd() { print -rn -- "${(j:|:)@[5,-1]}" }
        compset() { }
        _files() { print -rn -- files $@ }
        eval "$(amulet completion zsh)"
        words=(${=COMP_LINE}); CURRENT=$#words; PREFIX=$words[-1]
        _amulet_complete
    """
    run = _in_shell([str(ZSH), "-f", "-c", script], tmp_path, line)
    assert run.stdout == expected, run.stderr
    assert "compdef _amulet_complete amulet" in run.stderr


@pytest.mark.skipif(FISH is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("amulet val", ["validate"]),
        ("amulet run defense=adv_t", ["defense=adv_training"]),
        ("amulet run checkpoint=wi", ["checkpoint=wide.pt"]),
        ("amulet plot --metric wi", []),
    ],
)
def test_fish(line: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "wide.pt").touch()
    script = f"amulet completion fish | source; complete --do-complete '{line}'"
    run = _in_shell([str(FISH), "--no-config", "-c", script], tmp_path, line)
    assert [found.partition("\t")[0] for found in run.stdout.splitlines()] == expected, run.stderr


def _in_shell(words: list[str], cwd: Path, line: str, **more: str) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(command()).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "COMP_LINE": line, "COMP_POINT": str(len(line)), **more}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120)
