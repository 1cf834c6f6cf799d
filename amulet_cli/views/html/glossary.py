"""The glossary of the documentation, for the page: a report that is handed on explains its own terms."""

import re
from importlib.resources import files
from pathlib import Path

_SECTIONS = ("Parties and models", "Budgets", "Metrics", "Statistics", "Verdicts")


def glossary() -> list[tuple[str, list[tuple[str, str]]]]:
    """By section its terms, each with its meaning; nothing where the documentation is not installed."""
    parts = re.split(r"^## (.+)$", _text(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    return [(name, terms) for name in _SECTIONS if (terms := _terms(sections.get(name, "")))]


def _terms(section: str) -> list[tuple[str, str]]:
    items = re.findall(r"^- \*\*(.+?)\*\*: (.+?)(?=^- |\Z)", section, flags=re.MULTILINE | re.DOTALL)
    return [(term, _plain(meaning)) for term, meaning in items]


def _plain(text: str) -> str:
    """Markdown without its links and marks.

    >>> _plain("see [how](verdicts.md),\\n  `linf`")
    'see how, linf'
    """
    return " ".join(re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text).replace("`", "").split())


def _text() -> str:
    packaged = files("amulet_cli.views.html") / "templates" / "glossary.md"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    checkout = Path(__file__).resolve().parents[3] / "docs" / "glossary.md"
    return checkout.read_text(encoding="utf-8") if checkout.is_file() else ""
