"""A user's mistake, shown in one panel: what, where, what was expected, what was probably meant."""

import sysconfig
import traceback
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from amulet.core.errors import AmuletError, DataError, Diverged, IncompatibleError
from amulet_cli.base.console import err

MISTAKE, FAILURE, INTERRUPTED, TIME_IS_UP = 2, 1, 130, 124
"""Exit codes: the command was wrong; something failed; Ctrl-C; runs are left after `--max-time`."""
TRACEBACK = "AMULET_TRACEBACK"
_HOW_TO_SEE_ALL = f"{TRACEBACK}=1 before the same command shows the whole traceback"
_LONGEST = 240  # characters of a line of an error
_ABBREVIATION = 3  # characters at least of what only begins a word
_CLOSE = 0.15  # of similarity: a guess worse than the best by more than this is left out
_TITLES: dict[type[AmuletError], str] = {
    IncompatibleError: "This combination makes no sense",
    DataError: "The data cannot be used",
    Diverged: "Training diverged",
}


class UsageError(Exception):
    """The command cannot be carried out, and the user can correct it.

    Args:
        what: one sentence, the argument in backticks.
        where: the origin of the mistake: an override, an option, a file.
        expected: what would have been right.
        meant: what was probably meant, best guess first.
        try_: a command that helps.
        title: the panel's heading.
        code: the line of a user's own code that failed, and the exception.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        meant: Iterable[str] = (),
        try_: str | None = None,
        title: str = "This cannot run",
        code: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.expected = what, where, expected
        self.meant, self.try_, self.title, self.code = list(meant), try_, title, code

    def within(self, where: str) -> "UsageError":
        """The same error, with `where` if it has none yet."""
        self.where = self.where or where
        return self


def similar(word: str, known: Collection[str], most: int = 3) -> list[str]:
    """The known words that look like `word`, best first; none that looks much less like it than the best.

    Where `word` is how only a few of them begin, it is those: an abbreviation.

    >>> similar("model_extractoin", ["evasion_pgd", "model_extraction", "none"])
    ['model_extraction']
    >>> similar("eps", ["epsilon", "epochs", "steps"])
    ['epsilon']
    """
    begun = sorted(
        {other for other in known if other.startswith(word) and other != word}, key=lambda other: (len(other), other)
    )
    abbreviated = len(word) >= _ABBREVIATION and 0 < len(begun) <= most
    near = begun if abbreviated else get_close_matches(word[:_LONGEST], sorted(set(known)), n=most, cutoff=0.6)
    ratios = [SequenceMatcher(None, other, word).ratio() for other in near]
    return [other for other, ratio in zip(near, ratios, strict=True) if ratio > ratios[0] - _CLOSE]


def show(error: UsageError) -> None:
    """Print the panel on standard error."""
    meant = " or ".join(f"`{word}`" for word in error.meant) + "?" if error.meant else ""
    told = {"did you mean": meant, "where": error.where, "your code": error.code}
    told |= {"expected": error.expected, "try": error.try_}
    rows = [(label, text) for label, text in told.items() if text]
    body = Table.grid(padding=(0, 2))
    body.add_column(style="bold", no_wrap=True)
    body.add_column(overflow="fold")
    for label, text in rows:
        body.add_row(label, _code(text))
    panel = Group(_code(error.what), *([body] if rows else []))
    title = Text(error.title, style="bold red")
    err.print(Panel(panel, title=title, title_align="left", border_style="red", padding=(0, 1)))


def as_usage_error(error: Exception) -> UsageError | None:
    """One of the library's own errors as a panel; None for anything else."""
    if isinstance(error, UsageError):
        return _with_code(error, error.__cause__)
    if not isinstance(error, AmuletError):
        return None
    return _with_code(UsageError(str(error), title=_TITLES.get(type(error), "This cannot run")), error.__cause__)


def _with_code(error: UsageError, cause: BaseException | None) -> UsageError:
    if error.code is None and (code := own_code(cause)) is not None:
        error.code, error.try_ = code, error.try_ or _HOW_TO_SEE_ALL
    return error


def exit_code(error: Exception) -> int:
    """Two for a mistake found before anything was computed, one for a failure during a run."""
    return MISTAKE if isinstance(error, (UsageError, AmuletError)) and not isinstance(error, Diverged) else FAILURE


def own_code(error: BaseException | None) -> str | None:
    """The exception and the last line of a user's own code that it came through; None if there was none.

    A user's own is what belongs neither to Amulet, nor to an installed package, nor to Python.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # OmegaConf's errors cause each other
        seen.add(id(error))
        # Amulet's own errors say what is wrong themselves, also those that a user's code raises.
        if not isinstance(error, (UsageError, AmuletError)):
            trace = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
            if trace:
                return f"{trace[-1].filename}, line {trace[-1].lineno} ({type(error).__name__})"
        error = error.__cause__
    return None


def _is_own(file: str) -> bool:
    path = Path(file)
    if file.startswith("<") or not path.is_absolute() or {"site-packages", "dist-packages"} & set(path.parts):
        return False
    ours = Path(__file__).parents[2]
    others = (ours / "amulet", ours / "amulet_cli", Path(sysconfig.get_path("stdlib")))
    return not any(path.is_relative_to(other) for other in others)


def in_a_line(error: BaseException) -> str:
    """The kind of an error and what it says."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def in_own_code(error: Exception) -> UsageError | None:
    """An error that came through a user's own code and that nobody foresaw; None for another."""
    code = own_code(error)
    return UsageError(in_a_line(error), code=code, try_=_HOW_TO_SEE_ALL, title="Your code failed") if code else None


def unexpected(error: Exception) -> UsageError:
    """An error that nobody foresaw, in a few lines; `AMULET_TRACEBACK=1` shows all of them."""
    trace = traceback.extract_tb(error.__traceback__)
    return in_own_code(error) or UsageError(
        in_a_line(error),
        where=f"{trace[-1].filename}, line {trace[-1].lineno}" if trace else None,
        expected="nothing of the kind: please report it, with the command and all lines",
        try_=f"{TRACEBACK}=1 before the same command shows them",
        title="Amulet met an error that it did not foresee",
    )


def _code(text: str) -> Text:
    """Text whose `backticked` parts stand out; of one that is very long the two ends."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    line = Text(overflow="fold")  # a long path is useless without its end
    for index, part in enumerate(text.split("`")):
        line.append(part if index % 2 == 0 else f"`{part}`", style="" if index % 2 == 0 else "cyan")
    return line
