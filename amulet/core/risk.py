"""What a risk is, and the one place where risks are registered. Imports nothing heavy."""

import re
from dataclasses import dataclass

_ORDER = "SPF"  # security, privacy, fairness, as in the paper; other letters follow


@dataclass(frozen=True, kw_only=True)
class Risk:
    """One risk. Its package registers it in a module named `risk`."""

    name: str
    """Its name in configurations and results; for Amulet's own risks also the name of the package."""
    code: str
    """A letter and, where there are several, a number: S1."""
    title: str
    protocol: str
    """The module that implements `amulet.assessment.RiskProtocol`."""
    retrains: bool = False
    """Does assessing it train the victim again, on other records? The number is then about the recipe."""
    aliases: tuple[str, ...] = ()
    """Other names that are accepted."""


UTILITY = Risk(name="utility", code="U", title="utility", protocol="amulet.assessment.utility")
"""Not a risk, but reported by every run: how useful the victims are."""

_registered: dict[str, Risk] = {}


def register_risk(risk: Risk) -> Risk:
    """Register a risk; registering the same one twice does nothing.

    Raises:
        ValueError: another risk has its name, its code or one of its aliases.
    """
    words = {word.lower() for word in (risk.name, risk.code, *risk.aliases)}
    for other in (*_registered.values(), UTILITY):
        taken = words & {word.lower() for word in (other.name, other.code, *other.aliases)}
        if other != risk and taken:
            raise ValueError(f"`{risk.protocol}`: a risk named {', '.join(sorted(taken))} is registered already")
    _registered[risk.name] = risk
    return risk


def registered_risks() -> dict[str, Risk]:
    """The risks registered so far by name, by code: security, privacy, fairness, then those of other letters."""
    return dict(sorted(_registered.items(), key=lambda item: code_order(item[1].code)))


def code_order(code: str) -> tuple[int, str, int]:
    """A sort key that orders codes as in the paper.

    >>> sorted(["F", "X1", "P10", "P2", "S1"], key=code_order)
    ['S1', 'P2', 'P10', 'F', 'X1']
    """
    letters, digits = re.fullmatch(r"(\D*)(\d*).*", code).groups()  # pyright: ignore[reportOptionalMemberAccess]
    place = _ORDER.find(letters)
    return place if letters and place >= 0 else len(_ORDER), letters, int(digits or 0)
