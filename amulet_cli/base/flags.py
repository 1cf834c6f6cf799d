"""What a verb takes, declared once: its help page is the declaration, from which parsing and the Tab key are made."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from amulet_cli.base.errors import UsageError, similar

FILES, FOLDERS = "<files>", "<folders>"
"""Among what a word can be: the shell completes names of files, or of folders."""


class Flag(NamedTuple):
    """A flag of a verb."""

    names: Sequence[str]
    value: str
    """What must follow it, `FILE`; empty for a switch."""

    @property
    def name(self) -> str:
        """The long one of its names."""
        return next(name for name in self.names if name.startswith("--"))


class Block(NamedTuple):
    """A part of a page: a paragraph, or a title with rows below it, each a term and what it means."""

    text: str
    rows: Sequence[tuple[str, str]] = ()


class CommandLine:
    """Everything that a verb takes.

    Args:
        page: the words of the usage line; paragraphs; and sections, whose first line ends in a colon. Empty lines stand
            between them. In a section each line is a word, flag or command, two spaces, and what it means. Whatever
            begins with a hyphen is a flag, behind its names what must follow: `-o, --output FILE  where it goes`.
        choices: the values of flags that have only some.
        words: what a word can be; or a function from the words before and the one that is being typed to what can
            stand for it.
    """

    def __init__(
        self,
        page: str,
        choices: Mapping[str, Iterable[str]] = MappingProxyType({}),
        words: Iterable[str] | Callable[[Sequence[str], str], list[str]] = (),
    ) -> None:
        usage, *blocks = re.split(r"\n\s*\n", page.strip())
        self.name = re.sub(r" +[^a-z].*", "", usage)
        self.blocks = [_block(block.strip().splitlines()) for block in blocks]
        self.flags = [_flag(term) for block in self.blocks for term, _ in block.rows if term.startswith("-")]
        self.choices, self.words = choices, words
        flags = (f"[{f'{flag.names[0]} {flag.value}'.rstrip()}]" for flag in self.flags)
        self.usage = [*re.findall(r"\[[^\]]*\]|\S+", usage), *flags]
        """In the pieces that a line break must not cut."""

    def parse(self, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Sort the words: those that are no flags, and by long names the flags' values, empty for switches.

        >>> line = CommandLine("amulet plot [FOLDER ...]\\n\\nOptions:\\n-o, --output FILE  where it goes")
        >>> line.parse(["a", "-o", "f.svg", "b"])
        (['a', 'b'], {'--output': 'f.svg'})

        Raises:
            UsageError: a flag is unknown, or has a wrong value or none.
        """
        others: list[str] = []
        flags: dict[str, str] = {}
        rest = iter(words)
        for word in rest:
            name, equals, value = word.partition("=")
            flag = self._flag(name)
            if flag:
                if not flag.value and equals:
                    raise UsageError(f"`{name}` is a switch and has no value, got {value}")
                flags[flag.name] = self._value(name, flag, value or next(rest, "")) if flag.value else ""
            elif word.startswith("-") and word != "-":
                near = similar(name, [name for flag in self.flags for name in flag.names])
                raise UsageError(f"`{name}` is no flag of `{self.name}`", meant=near, try_=f"{self.name} --help")
            else:
                others.append(word)
        return others, flags

    def candidates(self, before: Sequence[str], word: str) -> list[str]:
        """What can stand for `word` after the words `before`; what is complete ends with a space."""
        flag = self._flag(before[-1]) if before else None
        if flag and flag.value:
            return matching(self._values(flag), word)
        name, equals, value = word.partition("=")
        if equals and (flag := self._flag(name)):
            return matching(self._values(flag), value, f"{name}=")
        if word.startswith("-"):
            return matching(dict.fromkeys([*(flag.name for flag in self.flags), "--help"]), word)
        return self.words(before, word) if callable(self.words) else matching(self.words, word)

    def _flag(self, name: str) -> Flag | None:
        return next((flag for flag in self.flags if name in flag.names), None)

    def _values(self, flag: Flag) -> Iterable[str]:
        return self.choices.get(flag.name) or {"FILE": (FILES,), "DIR": (FOLDERS,)}.get(flag.value, ())

    def _value(self, name: str, flag: Flag, value: str) -> str:
        choices = tuple(self.choices.get(flag.name, ()))
        if not value or (value.startswith("-") and value != "-"):
            raise UsageError(f"`{name}` must be followed by a value", expected=", ".join(choices) or flag.value)
        if choices and value not in choices:
            near = [f"{name} {choice}" for choice in similar(value, choices)]
            raise UsageError(f"`{name}` must be one of {', '.join(choices)}; got {value}", meant=near)
        return value


def _block(lines: Sequence[str]) -> Block:
    if not lines[0].endswith(":"):
        return Block(" ".join(" ".join(lines).split()))
    rows = (line.strip().partition("  ") for line in lines[1:])
    return Block(lines[0].removesuffix(":"), [(term, " ".join(meaning.split())) for term, _, meaning in rows])


def _flag(term: str) -> Flag:
    *names, last = term.split(", ")
    last, _, value = last.partition(" ")
    return Flag([*names, last], value)


def rows(meanings: Mapping[str, str]) -> str:
    """Lines of a page."""
    return "\n".join(f"{term}  {' '.join(meaning.split())}" for term, meaning in meanings.items())


def matching(known: Iterable[str], word: str, before: str = "") -> list[str]:
    """What a word can become, `before` in front of it; of several with commas or in brackets the last.

    >>> matching(["roc", "groups"], "r"), matching(["roc", "groups"], "", "--kind=")
    (['roc '], ['--kind=roc ', '--kind=groups '])
    >>> matching(["S1", "S2"], "P1,", "risks="), matching(["utility", "evasion"], "[utility,e", "metric=")
    (['risks=P1,S1 ', 'risks=P1,S2 '], ['metric=[utility,evasion'])
    """
    known = list(known)
    *given, last = re.split(r"[\[,]", word)
    before, end = before + word.removesuffix(last), "" if "[" in word else " "
    paths = [name for name in known if name in (FILES, FOLDERS)]
    return paths or [f"{before}{name}{end}" for name in known if name.startswith(last) and name not in given]
