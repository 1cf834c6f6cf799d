"""What the literature expects a defence to do to each risk: data, apart from anything measured here."""

from dataclasses import dataclass
from typing import Literal

from amulet.assessment.risks import RISKS

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
"""By column: ^ the risk rises when the defence is effective, v it falls, . nobody has looked."""

_NOTES = {
    ("differential privacy", "P4"): "rises where the adversary's shadow models are trained with it too",
    ("group fairness", "P3"): "conjectured to fall",
    ("group fairness", "P2"): "rises against an adaptive adversary",
    ("adversarial training", "P2"): "the paper of Amulet found no significant effect (its Table 6)",
    ("adversarial training", "S3"): "the paper of Amulet found that fidelity rises (its Table 7)",
    ("outlier removal", "S3"): "the paper of Amulet found no effect (its Table 8)",
}
_DIRECTIONS: dict[str, Direction] = {"^": "rises", "v": "falls", ".": "unexplored"}

FAMILIES = {
    "AdversarialTrainingPGD": "adversarial training",
    "OutlierRemoval": "outlier removal",
    "WatermarkNN": "watermarking",
    "DatasetInference": "fingerprinting",
    "DPSGD": "differential privacy",
    "AdversarialDebiasing": "group fairness",
}
"""The families of the table, by the class that stands for each here."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of one risk under one family of defences, where the defence is effective."""

    family: str
    direction: Direction
    note: str = ""


def expected(defense: type, risk: str) -> Expectation | None:
    """What the literature expects, by a defence's class or the one of Amulet's that it derives from.

    None where the table has no such defence or risk.

    >>> class DPSGD:
    ...     __module__ = "amulet.somewhere"
    >>> expected(DPSGD, "evasion")
    Expectation(family='differential privacy', direction='rises', note='')
    """
    ours = [kind.__name__ for kind in defense.__mro__ if kind.__module__.startswith("amulet.")]
    family = next((FAMILIES[name] for name in ours if name in FAMILIES), None)
    if family is None or risk not in RISKS:
        return None
    code = RISKS[risk].code
    sign = _TABLE[family].split()[_COLUMNS.index(code)]
    return Expectation(family, _DIRECTIONS[sign], _NOTES.get((family, code), ""))
