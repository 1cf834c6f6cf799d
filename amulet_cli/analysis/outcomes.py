"""The outcomes of a verdict: their order in lists, and the sign that stands beside each word."""

from collections.abc import Mapping

UNCERTAIN = "too few seeds"
SYMBOLS: Mapping[str, str] = {
    "rises": "▲",
    "falls": "▼",
    "equivalent": "≈",
    "no evidence": "·",
    "cannot show": "x",
    "not measurable": "x",
    "unchanged by construction": "=",
    UNCERTAIN: "?",
}
"""By outcome, in the order in which findings are listed."""
ORDER = tuple(SYMBOLS)


def symbol(outcome: str) -> str:
    """The sign of an outcome; empty where there is none.

    >>> symbol("rises"), symbol("")
    ('▲', '')
    """
    return SYMBOLS.get(outcome, "")
