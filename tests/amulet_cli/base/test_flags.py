"""Declarations of what a verb takes."""

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.base.flags import FILES, Block, CommandLine

LINE = CommandLine(
    """
    amulet draw [FOLDER ...] [key=value ...]

    Draws what
    is there.

    Options:
    --kind, -k KIND    which one
    -o, --output FILE  where it
    --quiet            say nothing

    Nothing more.
    """,
    {"--kind": ("roc", "sweep")},
)


def test_a_page_is_read() -> None:
    assert LINE.name == "amulet draw"
    assert LINE.usage == [
        "amulet",
        "draw",
        "[FOLDER ...]",
        "[key=value ...]",
        "[--kind KIND]",
        "[-o FILE]",
        "[--quiet]",
    ]
    rows = [("--kind, -k KIND", "which one"), ("-o, --output FILE", "where it"), ("--quiet", "say nothing")]
    assert LINE.blocks == [Block("Draws what is there."), Block("Options", rows), Block("Nothing more.")]


@pytest.mark.parametrize(
    "words",
    ["a -k roc b --output=- --quiet", "--quiet a b --kind=roc -o -", "-k sweep --kind roc -o=- a --quiet b"],
)
def test_flags_and_words_in_any_order(words: str) -> None:
    found, flags = LINE.parse(words.split())
    assert found == ["a", "b"]
    assert flags == {"--kind": "roc", "--output": "-", "--quiet": ""}


@pytest.mark.parametrize(
    ("words", "what", "meant"),
    [
        ("--knid roc", "`--knid` is no flag of `amulet draw`", ["--kind"]),
        ("-x=3", "`-x` is no flag of `amulet draw`", []),
        ("--kind", "`--kind` must be followed by a value", []),
        ("--kind --quiet", "`--kind` must be followed by a value", []),
        ("-k rok", "`-k` must be one of roc, sweep; got rok", ["-k roc"]),
        ("--quiet=no", "`--quiet` is a switch and has no value, got no", []),
    ],
)
def test_a_mistake_is_named(words: str, what: str, meant: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        LINE.parse(words.split())
    assert (error.value.what, error.value.meant) == (what, meant)


def test_what_is_offered() -> None:
    assert LINE.candidates([], "--") == ["--kind ", "--output ", "--quiet ", "--help "]
    assert LINE.candidates(["-k"], "s") == ["sweep "]
    assert LINE.candidates(["--quiet", "-o"], "x") == [FILES]
    assert LINE.candidates(["--quiet"], "x") == []
