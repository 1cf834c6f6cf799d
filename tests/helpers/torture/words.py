"""Wrong commands and option files: each must get a clear answer at once."""

import contextlib
import io
import random
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from tests.helpers.torture.common import LINES, Failure, Tried, empty_folder

_LONGEST = 5.0  # seconds of processor time of a wrong command
_HANGING = 60  # seconds
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
_CONF = Path(__file__).parents[3] / "conf"
_GROUPS = ("attack", "defense", "metric", "model")
_BYTES = [
    text.encode("latin-1")
    for text in ("\x00", "\t", "\xff\xfe", "\n- ", ": ", "{", "[" * 200, "&a *a", "*b", "!!set ", "---\n")
]
_NUMBERS = (None, True, -1, 0, 0.5, 10**30, float("nan"), float("inf"))
_TEXTS = ("", "x", "torch.nn.Linear", "os.getcwd", "no.such.Thing", "${x}", "${oc.env:HOME}", "é", "x" * 100_000)
_TREES = ([], [1, "x"], {}, {"a": {"b": []}}, {"_target_": "builtins.exit"}, [[[[0]]]])
_NODES: tuple[Any, ...] = (*_NUMBERS, *_TEXTS, *_TREES)
_VALUES = (
    "null inf nan -1 0 1e400 999999999999999999999 '' . .. / /dev/zero /dev/null {} [] {a:1} [1,[2]] true x range(0,0) "
    "range(0,inf) choice() glob(*) ${x} ${..} ${oc.env:X} é \x01 =, ( { \" ' ; | * @ + ~ - --"
).split(" ")


def wrong_words(count: int, seed: int) -> Tried:
    """Commands of every verb with words dropped, cut, joined and given other values, until so many are wrong."""
    draw, lost, right = random.Random(seed), list[Failure](), 0
    with empty_folder():
        wrong = 0
        while wrong < count:
            words = [*shlex.split(draw.choice(_VERBS)), *_some_words(draw)]
            code, failure = _answer(words)
            lost += failure
            wrong += code != 0
            right += code == 0
    return Tried(wrong, lost, f"{right} more were right")


def wrong_files(count: int, seed: int) -> Tried:
    """Option files that were mangled, as text and by value, until so many are wrong."""
    draw, lost, right = random.Random(seed), list[Failure](), 0
    originals = sorted(path for path in _CONF.glob("*/*.yaml") if path.parent.name in _GROUPS)
    with empty_folder() as folder:
        wrong = 0
        while wrong < count:
            original = draw.choice(originals)
            content = _mangled(draw, original.read_bytes())
            path = folder / "my_conf" / original.parent.name / "mine.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            code, failure = _answer(
                ["validate", "--config-dir", "my_conf", f"{original.parent.name}=mine", "dataset.limit=200"]
            )
            lost += [(what, f"{how}, {original.parent.name}/mine.yaml of {content!r}") for what, how in failure]
            wrong += code != 0
            right += code == 0
            path.unlink()
    return Tried(wrong, lost, f"{right} more were right")


def _answer(words: list[str]) -> tuple[object, list[Failure]]:
    """Give a command in this process; its exit code, and what is wrong with its answer."""
    from amulet_cli.cli import main

    how = f"amulet {shlex.join(words)}"
    streams = io.StringIO(), io.StringIO()
    began = time.process_time()
    try:
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), _limit():
            code = main(words)
    except BaseException as error:  # noqa: BLE001 - this is what is looked for
        return None, [(f"{type(error).__name__}: {error}", how)]
    took, text = time.process_time() - began, streams[1].getvalue()
    lines = len(text.splitlines())
    if code not in (0, 2) or (code == 2 and (not lines or lines > LINES or took > _LONGEST or "Traceback" in text)):
        return code, [(f"exit code {code}, {lines} lines, {took:.1f} s", how)]
    return code, []


def _mangled(draw: random.Random, content: bytes) -> bytes:
    """An option file with something wrong in it."""
    kind = draw.randrange(6)
    place = draw.randrange(len(content))
    if kind == 0:  # cut
        return content[:place]
    if kind == 1:  # other bytes
        return content[:place] + draw.choice(_BYTES) + content[place + draw.randrange(4) :]
    if kind == 2:  # a line twice, or moved inwards
        lines = content.splitlines(keepends=True)
        number = draw.randrange(len(lines))
        lines.insert(draw.randrange(len(lines) + 1), draw.choice([b"", b"  ", b"\t"]) + lines[number])
        return b"".join(lines)
    node: Any = yaml.safe_load(content)
    keys = [key for key in node if key != "about"] if isinstance(node, dict) else []
    if not keys:
        return content[:place]
    key = draw.choice(keys)
    if kind == 3:
        node[draw.choice(["", "x" * 10_000, "_target_", f"{key}s", "défaut", "_args_", "defaults"])] = node.pop(key)
    else:
        node[key] = draw.choice(_NODES)
    return yaml.safe_dump(node, allow_unicode=True).encode()


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
        raise TimeoutError(f"more than {_HANGING} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(_HANGING)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
