"""What the literature expects a defence to do to each risk: data, apart from anything measured here."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["rises", "falls", "unexplored"]

SOURCE = "Duddu, Szyller and Asokan, SoK: Unintended Interactions among ML Defenses and Risks, IEEE S&P 2024, Table 3"

_COLUMNS = ("S1", "S2", "S3", "P1", "P3", "P2", "P4", "F")
_TABLE = {
    "adversarial training": "v ^ ^ ^ ^ . ^ ^",
    "outlier removal": "v v . ^ . ^ . ^",
    "watermarking": ". ^ v ^ ^ ^ ^ ^",
    "fingerprinting": "^ . v ^ . . . .",
    "differential privacy": "^ ^ . v v v v ^",
    "group fairness": "^ ^ . ^ . v ^ v",
}
"""By column: ^ the risk rises when the defence is effective, v it falls, . unexplored."""

_NOTES = {
    ("differential privacy", "P4"): "rises where the adversary's shadow models are trained with it too",
    ("group fairness", "P3"): "conjectured to fall",
    ("group fairness", "P2"): "rises against an adaptive adversary",
    ("adversarial training", "P2"): "the paper of Amulet found no significant effect (its Table 6)",
    ("adversarial training", "S3"): "the paper of Amulet found that fidelity rises (its Table 7)",
    ("outlier removal", "S3"): "the paper of Amulet found no effect (its Table 8)",
}
_DIRECTIONS: dict[str, Direction] = {"^": "rises", "v": "falls", ".": "unexplored"}

FAMILIES = tuple(_TABLE)
"""The families of defences, in the order of the table."""


@dataclass(frozen=True)
class Expectation:
    """The expected effect of one family of defences on one risk, where the defence is effective."""

    family: str
    direction: Direction
    note: str = ""


def expected(family: str, code: str) -> Expectation | None:
    """What the literature expects of a family of defences (`Defense.family`) and a risk, by its code.

    None where the table has no such family or risk.

    >>> expected("differential privacy", "S1")
    Expectation(family='differential privacy', direction='rises', note='')
    """
    if family not in _TABLE or code not in _COLUMNS:
        return None
    sign = _TABLE[family].split()[_COLUMNS.index(code)]
    return Expectation(family, _DIRECTIONS[sign], _NOTES.get((family, code), ""))
