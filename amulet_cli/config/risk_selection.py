"""The metric option `every`: all risks that make sense on a data set, the others left out with the reason."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from amulet.assessment.risks import RISKS, risk_of
from amulet.core.risk import UTILITY
from amulet_cli.base.errors import UsageError, similar

NAME = "every"
_ITS_OWN = ("risk", "among", "function", "about")


def among(metrics: Mapping[str, Any]) -> list[str]:
    """The risks that `metric.every` is about, in the paper's order: all, or those of its `among`; none without it."""
    if not metrics.get(NAME):
        return []
    wanted = _node(metrics).get("among")
    if wanted is None:
        return list(RISKS)
    if not isinstance(wanted, (list, tuple)) or not wanted:
        raise UsageError(f"`metric.every.among` must be a list of risks, got {wanted!r}", expected=known_risks())
    return named(cast(Sequence[Any], wanted), "metric.every.among")


def named(words: Sequence[Any], where: str) -> list[str]:
    """Risks by their names or codes, in the paper's order.

    >>> named(["P1", "evasion"], "risks")
    ['evasion', 'membership_inference']
    """
    found = {_named(word, where) for word in words}
    return [name for name in RISKS if name in found]


def attack_settings(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What `metric.every.<risk>` says of the attack that measures the risk, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for key, settings in _node(metrics).items():
        if key in _ITS_OWN:
            continue
        risk = _named(key, f"metric.every.{key}")
        if not isinstance(settings, Mapping):
            raise UsageError(f"`metric.every.{key}` must be settings of the attack that measures {risk}")
        found[risk] = found.get(risk, {}) | dict(cast(Mapping[str, Any], settings))
    return found


def known_risks() -> str:
    """The risks for an error's text: `S1 evasion, ...`."""
    return ", ".join(f"{risk.code} {risk.name}" for risk in RISKS.values())


def _node(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    node = metrics.get(NAME) or {}
    if not isinstance(node, Mapping):
        raise UsageError(f"`metric.{NAME}` must be a mapping of settings, got {node!r}")
    return cast(Mapping[str, Any], node)


def _named(word: Any, where: str) -> str:
    try:
        risk = risk_of(str(word).strip())
    except KeyError:
        risk = UTILITY
    if risk is UTILITY:
        names = [*RISKS, *(word for risk in RISKS.values() for word in (risk.code, *risk.aliases))]
        raise UsageError(
            f"`{where}` must name risks, got {word}", expected=known_risks(), meant=similar(str(word).lower(), names)
        )
    return risk.name
