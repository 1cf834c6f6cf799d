"""What survives: wrong words, changed bits, killed sweeps. Prints how much was tried and lost, and how to repeat it.

python -m tests.helpers.torture [--words 300] [--bits 300] [--kills 8] [--seed 0]
"""

import argparse
import contextlib
import io
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

TINY = ("dataset.limit=200", "epochs=1")
SWEEP = ("run", "-m", "seed=0,1", "attack=evasion_pgd", *TINY)
_SAME = ("config.yaml", "metrics.csv", "evidence.npz")
_LONGEST = 10.0  # seconds of a wrong command
_VERBS = (
    "validate",
    "run --cfg job",
    "list",
    "report",
    "compare",
    "plot",
    "cite",
    "data",
    "completion",
)
_WORDS = (
    "dataset=census defense=adv_training defense.epsilon=0.1 attack=evasion_pgd attack.steps=3 epochs=1 seed=0 "
    "metric=[utility,evasion] batch_size=8 optimizer.lr=0.1 device=cpu output_dir=out store=models force=true "
    "model.hidden=[8] +experiment=smoke second_defense=none adversary_fraction=0.5 checkpoint=null schedule=null "
    "-m --config-dir --cfg --by --csv - seed=range(0,3) ~attack hydra/launcher=joblib outputs census "
    "dataset.sensitive=[sex]"
).split()
_VALUES = (
    "null inf nan -1 0 1e400 999999999999999999999 '' . .. / /dev/zero /dev/null {} [] {a:1} [1,[2]] true x range(0,0) "
    "range(0,inf) choice() glob(*) ${x} ${..} ${oc.env:X} é \x01 =, ( { \" ' ; | * @ + ~ - --"
).split(" ")

Failure = tuple[str, str]
"""What failed, and how to repeat it."""


def wrong_words(count: int, seed: int) -> list[Failure]:
    """Commands of every verb with words dropped, doubled, cut, joined and given other values."""
    from amulet_cli.cli import main

    draw, lost = random.Random(seed), list[Failure]()
    with _empty_folder():
        for _ in range(count):
            words = [*shlex.split(draw.choice(_VERBS)), *_some_words(draw)]
            streams = io.StringIO(), io.StringIO()
            began = time.monotonic()
            try:
                with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), _limit():
                    code = main(words)
            except BaseException as error:  # noqa: BLE001 - this is what is looked for
                lost.append((f"{type(error).__name__}: {error}", f"amulet {shlex.join(words)}"))
                continue
            lines = streams[1].getvalue().splitlines()
            took = time.monotonic() - began
            if code not in (0, 2) or (code == 2 and (len(lines) > 12 or took > _LONGEST)):
                lost.append((f"exit code {code}, {len(lines)} lines, {took:.1f} s", f"amulet {shlex.join(words)}"))
    return lost


def changed_bits(count: int, seed: int) -> list[Failure]:
    """A bit of a result or of a stored model turned, or the file cut: nobody may take it for what was written."""
    from amulet_cli.cli import main
    from amulet_cli.results.reading import find_results, is_complete
    from amulet_cli.results.store import DiskStore

    draw, lost = random.Random(seed), list[Failure]()
    out = io.StringIO()
    with _empty_folder() as folder, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if main(["run", *TINY]) != 0:
            raise RuntimeError("the run that is to be damaged failed")
        [known] = find_results([folder / "outputs"])
        store = DiskStore(folder / "outputs" / "models")
        files = [known.folder / name for name in (*_SAME, "metrics.json", "status.json")]
        models = [entry.path for entry in store.list()]
        for _ in range(count):
            path = draw.choice([*files, *models])
            content, place = path.read_bytes(), draw.randrange(path.stat().st_size)
            cut = draw.random() < 0.2
            bit = 1 << draw.randrange(8)
            other = content[:place] if cut else content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
            path.write_bytes(other)
            how = f"{path.name}: {'cut at' if cut else f'bit {bit} of'} byte {place}"
            try:
                if path in models:
                    believed = store.load(path.stem) is not None
                else:
                    [found] = find_results([known.folder])
                    believed = is_complete(known.folder, known.config) and found != known
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                lost.append((f"{type(error).__name__}: {error}", how))
                believed = False
            if believed:
                lost.append(("believed", how))
            path.write_bytes(content)
    return lost


def killed_sweeps(count: int, seed: int) -> list[Failure]:
    """A sweep killed at random moments, two processes at once, ends in the bytes of an undisturbed one."""
    draw, lost = random.Random(seed), list[Failure]()
    command = [sys.executable, "-m", "amulet_cli.cli", *SWEEP]

    def begun(folder: str) -> "subprocess.Popen[bytes]":
        nowhere = subprocess.DEVNULL
        words = [*command, f"output_dir={folder}"]
        return subprocess.Popen(words, stdout=nowhere, stderr=nowhere, start_new_session=True)

    with _empty_folder() as folder:
        began = time.monotonic()
        if begun("calm").wait() != 0:
            raise RuntimeError("the undisturbed sweep failed")
        whole = time.monotonic() - began
        for _ in range(count):
            pair = [begun("hurt"), begun("hurt")]
            time.sleep(draw.uniform(0.3, 1.0) * whole)
            for process in pair:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if draw.random() < 0.3:  # something must be left to be killed
                for path in (folder / "hurt").rglob("metrics.json"):
                    path.unlink()
        if (code := begun("hurt").wait()) != 0:
            lost.append((f"exit code {code} in the end", f"--kills {count} --seed {seed}"))
        for path in (folder / "calm").rglob("*"):
            if path.name in _SAME[1:]:
                again = folder / "hurt" / path.relative_to(folder / "calm")
                if not again.is_file() or again.read_bytes() != path.read_bytes():
                    lost.append((f"{path.name} differs", f"--kills {count} --seed {seed}"))
    return lost


def _some_words(draw: random.Random) -> Iterator[str]:
    for word in draw.sample(_WORDS, draw.randrange(5)):
        change = draw.randrange(5)
        key, equals, value = word.partition("=")
        if change == 0:
            yield f"{key}{equals}{draw.choice(_VALUES)}"
        elif change == 1:
            yield word[: draw.randrange(len(word))]
        elif change == 2:
            yield word + draw.choice(_VALUES)
        elif change == 3:
            yield f"{key}.{draw.choice(_VALUES)}{equals}{value}"
        else:
            yield word


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    def over(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {3 * _LONGEST:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(round(3 * _LONGEST))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _empty_folder() -> Iterator[Path]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def main() -> int:
    """Do all of it; the exit code is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, tuple[Callable[[int, int], list[Failure]], int]] = {
        "words": (wrong_words, 300),
        "bits": (changed_bits, 300),
        "kills": (killed_sweeps, 8),
    }
    for name, (function, count) in parts.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=function.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    failures = 0
    for name, (function, _) in parts.items():
        count, began = int(getattr(asked, name)), time.monotonic()
        lost = function(count, asked.seed) if count else []
        failures += len(lost)
        took = time.monotonic() - began
        figures = f"tried {count:5}  survived {count - len(lost):5}  lost {len(lost):3}  in {took:.0f} s"
        sys.stdout.write(f"{name:6} {figures}\n")
        for what, how in lost:
            sys.stdout.write(f"       {what}\n         {how}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
