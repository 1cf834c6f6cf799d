"""Every risk there is: Amulet's own, each registered by its package, and those of plug-ins. Imports nothing heavy."""

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from amulet.core.plugins import plugins
from amulet.core.risk import UTILITY, Risk, registered_risks

_AMULET = Path(__file__).resolve().parents[1]


class _Risks(Mapping[str, Risk]):
    """Found when first asked for."""

    def __getitem__(self, name: str) -> Risk:
        _find()
        return registered_risks()[name]

    def __iter__(self) -> Iterator[str]:
        _find()
        return iter(registered_risks())

    def __len__(self) -> int:
        _find()
        return len(registered_risks())

    def __repr__(self) -> str:
        return f"RISKS({', '.join(self)})"


RISKS: Mapping[str, Risk] = _Risks()
"""By name, in the paper's order; those of plug-ins follow."""


@cache
def _find() -> None:
    """Import the module `risk` of every package that has one, and load the plug-ins."""
    for module in sorted(_AMULET.glob("*/risk.py")):
        importlib.import_module(f"amulet.{module.parent.name}.risk")
    plugins()


def risk_of(name: str) -> Risk:
    """A risk, or `utility`, by its name, its code or an alias (`fairness`); KeyError if there is none."""
    word = name.lower()
    for risk in (*RISKS.values(), UTILITY):
        if word in (risk.name, risk.code.lower(), *risk.aliases):
            return risk
    raise KeyError(name)
