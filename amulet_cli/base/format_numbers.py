"""Formats of numbers and durations for people."""

import math

_ROUNDING = 1e-12


def number(value: float, *, fraction: bool = True, unit: bool = True) -> str:
    """A metric's value: fractions in per cent with two decimals, others with three digits, from 1,000 on with all.

    >>> number(0.8312), number(0.00123456, fraction=False), number(14392, fraction=False), number(float("nan"))
    ('83.12%', '0.00123', '14,392', '-')
    """
    if not math.isfinite(value):
        return "-"
    if fraction:
        return f"{100 * value:.2f}{'%' if unit else ''}"
    return _digits(value)


def _digits(value: float, sign: str = "") -> str:
    """Three digits, from 1,000 on all before the point."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def change(value: float, *, fraction: bool = True) -> str:
    """A signed difference: in points for fractions.

    >>> change(0.0123), change(-0.5), change(-1e-9)
    ('+1.23', '-50.00', '0.00')
    """
    if not math.isfinite(value):
        return "-"
    text = f"{100 * value:+.2f}" if fraction else _digits(value, "+")
    return text.lstrip("+-") if not text.strip("+-0.") else text


def interval(low: float, high: float, *, fraction: bool = True, signed: bool = False) -> str:
    """``[low, high]``, or nothing if there is none.

    >>> interval(0.8, 0.8567), interval(float("nan"), 1.0), interval(999, 14392, fraction=False, signed=True)
    ('[80.0, 85.7]', '', '[+999, +14,392]')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    sign = "+" if signed else ""
    ends = [f"{100 * end:{sign}.1f}" if fraction else _digits(end, sign) for end in (low, high)]
    return f"[{', '.join(ends)}]"


def with_interval(value: float, span: tuple[float, float] | None, *, fraction: bool = True) -> str:
    """A value with its interval, if it has one.

    >>> with_interval(0.83, (0.82, 0.84)), with_interval(0.83, None)
    ('83.00% [82.0, 84.0]', '83.00%')
    """
    bounds = interval(*span, fraction=fraction) if span else ""
    return f"{number(value, fraction=fraction)} {bounds}".rstrip()


def plus_minus(mean: float, error: float, *, fraction: bool = True) -> str:
    """Mean and standard error; only the mean if a single seed gives no error. What rounding makes of none is none.

    >>> plus_minus(0.8312, 0.0021), plus_minus(0.8312, float("nan")), plus_minus(8.0, 6.28e-16, fraction=False)
    ('83.12 ± 0.21', '83.12', '8 ± 0')
    """
    text = number(mean, fraction=fraction, unit=False)
    if not math.isfinite(error):
        return text
    return f"{text} ± {spread(error, mean, fraction=fraction)}"


def spread(value: float, mean: float, *, fraction: bool = True) -> str:
    """A standard error or deviation; none where it is only rounding of the mean.

    >>> spread(0.0021, 0.8), spread(1.09e-15, 8.0, fraction=False)
    ('0.21', '0')
    """
    return number(0.0 if value < _ROUNDING * abs(mean) else value, fraction=fraction, unit=False)


def duration(seconds: float) -> str:
    """A time span in words.

    >>> duration(0.4), duration(12.3), duration(184), duration(7000)
    ('0.4 s', '12 s', '3 min 04 s', '1 h 57 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes in decimal units.

    >>> size(999), size(444_000), size(2.5e9)
    ('999 B', '444 KB', '2.5 GB')
    """
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"


def plural(count: int, word: str) -> str:
    """A count with its noun.

    >>> plural(1, "seed"), plural(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
