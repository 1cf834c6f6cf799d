"""The Tab key."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from amulet_cli.cli import main
from amulet_cli.commands.completion import candidates
from tests.helpers.cli_helpers import command, own_options

BASH = shutil.which("bash")
ZSH = shutil.which("zsh")


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
        ("amulet run --config-dir ", []),
        ("amulet report ", []),
        ("amulet list att", ["attack "]),
        ("amulet completion z", ["zsh "]),
    ],
)
def test_candidates(line: str, expected: list[str]) -> None:
    assert candidates(line) == expected


def test_all_commands_and_groups_are_offered() -> None:
    assert {"run ", "list ", "data "} <= set(candidates("amulet "))
    offered = candidates("amulet run ")
    assert {"defense=", "attack=", "epochs=", "seed=", "second_defense=", "+experiment="} <= set(offered)
    assert not [name for name in offered if "about" in name or "_target_" in name or name.startswith("hydra")]


def test_a_users_own_options_are_offered(workdir: Path) -> None:
    own_options(workdir)
    assert candidates("amulet run --config-dir my_conf attack=noi") == ["attack=noise "]
    assert candidates("amulet run --config-dir my_conf attack=noise attack.sec") == ["attack.seconds="]


def test_a_wrong_shell_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 2
    assert "bash or zsh" in capsys.readouterr().err


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@pytest.mark.parametrize("breaks", [" \t\n\"'@><=;|&(:", " \t\n"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("amulet val", "validate "),
        ("amulet run defense=adv_t", "defense=adv_training "),
        ("amulet run -m attack=none,evas", "attack=none,evasion_pgd "),
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
    run = _in_shell([str(BASH), "--norc", "-c", script], tmp_path, line, BREAKS=breaks)
    word = line.rpartition(" ")[2]
    kept = max(word.rfind("="), word.rfind(",") if "," in breaks else -1) + 1 if "=" in breaks else 0
    assert run.stdout == f"{expected[kept:]}|"
    assert "-F _amulet_complete amulet" in run.stderr


@pytest.mark.skipif(ZSH is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [("amulet val", "validate "), ("amulet run defense=adv_t", "defense=adv_training ")],
)
def test_zsh(line: str, expected: str, tmp_path: Path) -> None:
    script = """
        compdef() { print -u2 "compdef $*" }
        compadd() { print -rn -- "${(j:|:)@[5,-1]}" }
        _files() { print files }
        eval "$(amulet completion zsh)"
        words=(${=COMP_LINE}); CURRENT=$#words; PREFIX=$words[-1]
        _amulet_complete
    """
    run = _in_shell([str(ZSH), "-f", "-c", script], tmp_path, line)
    assert run.stdout == expected, run.stderr
    assert "compdef _amulet_complete amulet" in run.stderr


def _in_shell(words: list[str], cwd: Path, line: str, **more: str) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(command()).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "COMP_LINE": line, "COMP_POINT": str(len(line)), **more}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120)
