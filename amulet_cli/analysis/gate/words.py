"""Limits and numbers as people read them."""

import math

from amulet_cli.analysis.gate.measured import Measured
from amulet_cli.analysis.gate.policy import Rule
from amulet_cli.base import format_numbers


def limit_words(rule: Rule, *, fraction: bool) -> str:
    """A limit as people read it.

    >>> limit_words(Rule(id="a", metric="auc", at_most=0.02, relative_to="undefended"), fraction=True)
    'at most +2.00 points from undefended'
    """
    side = "at most" if rule.at_most is not None else "at least"
    if not rule.relative_to:
        return f"{side} {format_numbers.number(rule.limit, fraction=fraction)}"
    unit = " points" if fraction else ""
    return f"{side} {format_numbers.change(rule.limit, fraction=fraction)}{unit} from {rule.relative_to}"


def found_words(rule: Rule, found: Measured, *, fraction: bool) -> str:
    """A number with its interval as people read it; a dash where there is none."""
    if not math.isfinite(found.value):
        return "-"
    if not rule.relative_to:
        return format_numbers.with_interval(found.value, (found.low, found.high), fraction=fraction)
    span = format_numbers.interval(found.low, found.high, fraction=fraction, signed=True)
    return f"{format_numbers.change(found.value, fraction=fraction)} {span}".rstrip()
