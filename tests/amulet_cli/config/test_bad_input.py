"""Wrong command lines, option files and components: at most twelve lines, exit code 2, at once, nothing written."""

import os
import random
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config import instantiation
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose

_ALIASES = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]" for i in range(12)]
OPTIONS: dict[str, tuple[bytes, str]] = {
    "tab": (b"a:\n\tb: 1", "line 2, column 1"),
    "nul": (b"a: \x00", "cannot be read"),
    "utf16": ("a: 1".encode("utf-16"), "no text in UTF-8"),
    "latin1": ("a: größer".encode("latin-1"), "no text in UTF-8"),
    "duplicate": (b"a: 1\na: 2\n", "found duplicate key a"),
    "unclosed": (b"a: [1", "cannot be read"),
    "deep": (b"a: " + b"[" * 5000 + b"]" * 5000, "nest"),
    "rather_deep": (b"a: " + b"[" * 300 + b"]" * 300, "nested too deeply"),
    "bomb": ("\n".join(_ALIASES).encode(), "far too many values"),
    "ring": (b"a: &a [*a]", "nested too deeply"),
    "circle": (b"defaults:\n - circle\n", "in a circle"),
    "number": (b"3", "must hold settings by name"),
    "tagged": (b"!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "numbered": (b"_target_: bad_parts.Fine\n1: 2", "must have texts as keys, got 1"),
    "leaves": (b"_target_: bad_parts.Leaves", "ends the process (sys.exit(3))"),
    "leaves_at_once": (b"_target_: bad_module.Attack", "ends the process (sys.exit(3))"),
    "breaks": (b"_target_: bad_parts.Breaks", "`bad_parts.Breaks` failed: KeyError: 'x'"),
}
_MODULE = """
import sys
class Fine: pass
class Leaves:
    def __init__(self): sys.exit(3)
class Breaks:
    def __init__(self): raise KeyError("x")
"""
LONG = "x" * 300
COMMANDS: dict[str, str] = {
    "run -m seed=range(0,0)": "asks for no run",
    "run -m attack=glob(zz*)": "asks for no run",
    "matrix seeds=range(5,2)": "asks for no run",
    "run -m seed=range(0,10,0)": "is no range",
    "run -m seed=range(0,nan)": "is no range",
    "run -m seed=range(0,inf)": "endlessly many runs",
    "run -m 'seed=shuffle(range(0,inf))'": "endlessly many runs",
    "run -m seed=range(0,1e400)": "endlessly many runs",
    "run -m seed=range(0,1000000)": "1,000,000 runs",
    "run -m seed=range(0,3000) epochs=range(1,3000)": "8,997,000 runs",
    "matrix seeds=99999999999999999999": "endlessly many runs",
    "run attack=null": "`attack` must be chosen by its name, got null",
    "run metric=1": "`metric` must be chosen by its name, got 1",
    "run second_defense=null": "must be chosen by its name, got null",
    "run hydra=1": "`hydra` must be chosen by its name, got 1",
    "run attack={}": "`attack` must be chosen by its name, got {}",
    "run metric={}": "`metric` must be chosen by its name, got {}",
    "run device=meta": "`device` must be auto, cpu, cuda, cuda:<n> or mps, got meta",
    "run device=xla": "`device` must be auto, cpu, cuda, cuda:<n> or mps, got xla",
    "run device=cpu:1": "`device` must be auto, cpu, cuda, cuda:<n> or mps, got cpu:1",
    "validate adversary_fraction=1e-300 dataset.limit=100": "must leave both sides at least one of 100",
    "validate adversary_fraction=.9999999 dataset.limit=100": "must leave both sides at least one of 100",
    "run dataset=custom dataset.path=a.csv dataset.target=a dataset.name=": "`dataset.name` must not be empty, got",
    "run =3": "must be chosen by its name",
    "run optimizer.lr=inf": "`optimizer.lr` must be a finite number, got inf",
    "run optimizer.lr=nan": "`optimizer.lr` must be a finite number, got nan",
    "run optimizer.lr=1e400": "`optimizer.lr` must be a finite number",
    "run model.hidden=[inf]": "`model.hidden` must be a finite number",
    "run optimizer.lr=abc": "`optimizer.lr` must be a number",
    "run 'optimizer.lr=${..}'": "a reference to another setting cannot be read",
    "run epochs=999999999999999999999": "`epochs` must satisfy epochs <= 1000000",
    "run batch_size=99999999999999": "`batch_size` must satisfy",
    "run num_threads=99999999999": "`num_threads` must satisfy",
    f"run seed={'9' * 5000}": "more than 4300 digits",
    "run seed=9999999999999999999": "`seed` must satisfy",
    f"run output_dir={LONG}": "`output_dir` must be a folder",
    f"run store={LONG}": "`store` must be a folder",
    f"run attack={'z' * 5000}": "attack=zzz",
    f"run {'z' * 5000}": "is no override",
    f"run checkpoint={LONG}": "`checkpoint` cannot be read",
    "run checkpoint=.": "`checkpoint` cannot be read: not a regular file",
    "run checkpoint=/dev/zero": "`checkpoint` cannot be read: not a regular file",
    "run dataset=custom dataset.target=x dataset.path=/dev/zero": "`dataset.path` must be a file",
    "run dataset=custom dataset.path=a.csv dataset.target=a dataset.drop=[inf]": "or a text in quotes: '\"inf\"'",
    "run dataset=custom dataset.path=1 dataset.target=a": "in quotes where it is a text: '\"1\"'",
    "run output_dir=": "`output_dir` must not be empty",
    "run output_dir=loop": "`output_dir` must be a folder",
    "run store=loop": "`store` must be a folder",
    "run --config-dir loop": "`--config-dir` must be a folder",
    "list --config-dir loop": "`--config-dir` must be a folder",
    "report loop": "There is no folder `loop`",
    f"report {LONG}": "There is no folder",
    "run --package=x": "`--package` is about what is shown",
    "run -m hydra/launcher=joblib hydra.launcher.n_jobs=0 seed=0,1": "`hydra.launcher.n_jobs` must be at least 1",
    "run -m hydra/launcher=joblib hydra.launcher.backend=nope seed=0,1": "`hydra.launcher.backend` must be one of",
    "run -m hydra/launcher=ray hydra.launcher.cpus_per_job=-1 seed=0,1": "`hydra.launcher.cpus_per_job` must be",
    "run -m hydra/launcher=slurm seed=0,1": "there is no Slurm on this machine",
    "help nope": "`nope` is not a command",
}


def refused(words: list[str], capsys: pytest.CaptureFixture[str], says: str) -> None:
    began = time.monotonic()
    assert main(words) == 2
    took = time.monotonic() - began
    shown = capsys.readouterr()
    flat = " ".join(shown.err.replace("│", " ").split())
    assert says in flat
    assert len(shown.err.splitlines()) <= 12
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert took < 30  # those that hung took for ever; the first of all tests imports torch


@pytest.fixture
def conf(workdir: Path) -> Path:
    folder = workdir / "my_conf"
    (folder / "attack").mkdir(parents=True)
    (workdir / "bad_parts.py").write_text(_MODULE)
    (workdir / "bad_module.py").write_text("import sys\nsys.exit(3)")
    return folder


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_is_none(name: str, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, says = OPTIONS[name]
    (conf / "attack" / f"{name}.yaml").write_bytes(content)
    refused(["run", "--config-dir", "my_conf", f"attack={name}"], capsys, says)


@pytest.mark.parametrize("name", ["tab", "nul", "utf16", "deep", "bomb", "ring", "tagged"])
def test_listing_an_option_that_is_none(name: str, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (conf / "attack" / f"{name}.yaml").write_bytes(OPTIONS[name][0])
    refused(["list", "attack", "--config-dir", "my_conf"], capsys, f"{name}.yaml")


_OWN = """
import torch
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.discriminatory_behavior.attacks import DiscriminatoryBehavior
from amulet.models import LinearNet

class Made(DiscriminatoryBehavior):
    def __init__(self, model=None, *, width: int = 3):
        super().__init__(model)
        self.width = width
        raise ValueError("no such width")  # constructor

class Checked(DiscriminatoryBehavior):
    def look(self, *given, **more):
        return {}["x"]  # attack

class Net(LinearNet):
    def forward(self, x):
        return self.nothing(x)  # model

def rows(limit: int = 100):
    return open("nothing.txt")  # loader

def count(evidence):
    return {"n": evidence.absent}  # metric
"""
_FAILURES: dict[str, tuple[str, int, str]] = {
    "constructor": ("attack=own attack._target_=own_parts.Made", 2, "no such width"),
    "attack": ("attack=own attack._target_=own_parts.Checked", 1, "KeyError: 'x'"),
    "model": ("attack=none model=own_parts:Net", 2, "own_parts.Net does not fit inputs of shape (42,): AttributeError"),
    "loader": (
        "attack=none dataset=own",
        2,
        "No such file or directory",
    ),
    "metric": ("attack=none metric=own", 1, "AttributeError: 'BehaviorEvidence' object has no attribute 'absent'"),
}


@pytest.mark.parametrize("what", _FAILURES)
def test_an_error_of_ones_own_code_shows_its_line(what: str, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (conf.parent / "own_parts.py").write_text(_OWN)
    (conf / "attack" / "own.yaml").write_text("_target_: own_parts.Made")
    (conf / "metric").mkdir()
    (conf / "dataset").mkdir()
    (conf / "dataset" / "own.yaml").write_text("_target_: own_parts.rows\nlimit: 100")
    (conf / "metric" / "own.yaml").write_text(
        "# @package metric.own\nrisk: discriminatory_behavior\nfunction: own_parts.count"
    )
    words, code, says = _FAILURES[what]
    small = ["dataset.limit=100", "epochs=1"]
    got = main(["run", "--config-dir", "my_conf", *words.split(), *small])
    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    line = next(i for i, text in enumerate(_OWN.splitlines(), 1) if text.endswith(f"# {what}"))
    assert says in shown
    assert got == code
    assert f"own_parts.py, line {line} (" in shown.replace("own_parts. py", "own_parts.py")
    assert ("run.log" if code == 1 else "AMULET_TRACEBACK=1") in shown


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def test_defaults_that_name_each_other(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        (conf / "attack" / f"{name}.yaml").write_text(f"defaults:\n - {other}\n")
    refused(["run", "--config-dir", "my_conf", "attack=one"], capsys, "in a circle")


@pytest.mark.parametrize("seed", range(4))
def test_a_table_of_random_bytes(seed: int, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = random.Random(seed).randbytes(5000).replace(b"\n", b"\r" if seed % 2 else b"\n")
    (workdir / "a.csv").write_bytes(content)
    refused(["run", "dataset=custom", "dataset.path=a.csv", "dataset.target=b"], capsys, "a.csv: ")


@pytest.mark.parametrize("make", [os.mkfifo, _endless, Path.mkdir])
def test_an_option_that_is_no_file(
    make: Callable[[Path], None], conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(conf / "attack" / "odd.yaml")
    refused(["run", "--config-dir", "my_conf", "attack=odd"], capsys, "not a regular file")


def test_another_option_with_a_mistake_is_not_in_the_way(conf: Path, workdir: Path) -> None:
    (conf / "attack" / "broken.yaml").write_bytes(b"a: [1")
    assert compose(parse(["--config-dir", "my_conf", "attack=none"])).jobs


def test_a_series_that_contains_itself(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (conf / "experiment").mkdir()
    (conf / "experiment" / "round.yaml").write_text("series: [round]")
    refused(["run", "--config-dir", "my_conf", "+experiment=round"], capsys, "contains itself")


@pytest.mark.parametrize("words", COMMANDS)
def test_a_wrong_command(words: str, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "loop").symlink_to("loop")
    refused(shlex.split(words), capsys, COMMANDS[words])
    assert [path.name for path in workdir.iterdir()] == ["loop"]


def test_as_many_jobs_as_there_can_be_are_counted_not_made() -> None:
    with pytest.raises(UsageError, match="100,001 runs"):
        compose(parse(["-m", "seed=range(0,100001)"]))
    assert len(compose(parse(["-m", "seed=range(0,1,0.25)", "optimizer.lr=0.1,0.2"])).jobs) == 8


def test_an_error_that_nobody_foresaw_is_a_few_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: list[str]) -> int:
        raise ZeroDivisionError("as nobody thought")

    monkeypatch.setattr("amulet_cli.cli._dispatch", broken)
    assert main(["list"]) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: as nobody thought" in shown
    assert "Traceback" not in shown
    monkeypatch.setenv("AMULET_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_a_number_or_a_tensor_is_no_text() -> None:
    from torch import Tensor

    assert instantiation.fits(0.1, float | Tensor)
    assert not instantiation.fits("abc", float | Tensor)
    assert instantiation.fits("auto", int | str)
