"""What the texts of a table stand for: numbers, also with a decimal comma, or dates."""

import re
from collections.abc import Sequence

import numpy as np

_POINT = re.compile(r"[+-]?\d+(\.\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
"""1,234.5"""
_NO_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)?,\d+(e[+-]?\d+)?", re.IGNORECASE)
"""1234,5 or 1.234,5"""
_MEASURE = re.compile(r"[^\w\s]?\s?[+-]?\d[\d.,'’\s]*\s?(%|[^\W\d]{0,3})")
"""A number with a unit or a currency around it: 83 kg, 12%, $1,200."""
_ISO_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])(-\d{2}([T ][\d:.,+Z-]+)?)?")
_DATE = re.compile(
    r"(\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2}"
    r"|\d{1,2}[. -]+[^\W\d]{3,9}[. -]+(\d{4}|\d{2})|[^\W\d]{3,9}\.? \d{1,2},? \d{4})([T ,].*)?"
)


def is_number(text: str) -> bool:
    """Whether a text stands for a number, with a decimal point or comma.

    >>> [is_number(text) for text in ("83.5", "83,5", "1.234,5", "1,234.5", "a")]
    [True, True, True, True, False]
    """
    try:
        float(text)
    except ValueError:
        return bool(_COMMA.fullmatch(text) or _THOUSANDS.fullmatch(text))
    return True


def is_measure(text: str) -> bool:
    """Whether a text is a number, or one with a unit or a currency: `83 kg`, `12%`."""
    return is_number(text) or bool(_MEASURE.fullmatch(text))


def is_date(text: str) -> bool:
    """Whether a text looks like a date.

    >>> [is_date(text) for text in ("2026-11-29", "29.11.2026", "11/29/26 10:00", "3 Nov 2026", "30-34")]
    [True, True, True, True, False]
    """
    return bool(_ISO_DATE.fullmatch(text) or _DATE.fullmatch(text))


def with_commas(texts: Sequence[str]) -> np.ndarray | None:
    """The numbers that texts with commas stand for, if all do; None for other texts.

    >>> with_commas(["83,0", "7"]), with_commas(["1,234,567", "2.5"]), with_commas(["a, b"])
    (array([83.,  7.]), array([1.234567e+06, 2.500000e+00]), None)

    Raises:
        ValueError: each comma may be a decimal mark or group thousands; the message is such a text.
    """
    some = next((text for text in texts if "," in text), None)
    if some is None:
        return None
    decimal = all(_COMMA.fullmatch(text) or _NO_COMMA.fullmatch(text) for text in texts)
    thousands = all(_THOUSANDS.fullmatch(text) or _POINT.fullmatch(text) for text in texts)
    if decimal and thousands:
        raise ValueError(some)
    if decimal:
        return np.array([float(text.replace(".", "").replace(",", ".")) for text in texts])
    return np.array([float(text.replace(",", "")) for text in texts]) if thousands else None


def days(texts: Sequence[str]) -> np.ndarray | None:
    """Days since 1970 of dates that begin with the year, as in 2026-11-29; None if one is something else.

    >>> days(["1970-01-02", "1970-02-01 12:00"]), days(["2.1.1970"])
    (array([ 1. , 31.5]), None)
    """
    import pandas as pd

    if not all(_ISO_DATE.fullmatch(text) for text in texts):
        return None
    times = pd.to_datetime(list(texts), format="ISO8601", utc=True, errors="coerce")
    if times.isna().any():
        return None
    return np.asarray((times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1), np.float64)


def listed(names: Sequence[str]) -> str:
    """Names as a list on the command line, in quotes where a name is no plain word there.

    >>> listed(["age", "sex"]), listed(["inf", "zip code"])
    ('[age,sex]', '["inf","zip code"]')
    """
    return f"[{','.join(map(_word, names))}]"


def _word(name: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", name) and name.lower() not in ("true", "false", "null", "inf", "nan")
    return name if plain else '"' + name.replace('"', '\\"') + '"'
