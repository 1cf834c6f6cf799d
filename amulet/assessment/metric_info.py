"""What is known of a metric by its name: its risk, which way is worse for the victim, whether it decides."""

from dataclasses import dataclass
from typing import Literal

from amulet.assessment.risks import RISKS, UTILITY, Harm, Risk

Worse = Literal["higher", "lower"]

AFTER = "after_"
"""`after_poisoning.p_value`: of the model that the attack of that risk made of the victim."""
_NO_FRACTIONS = ("p_value", "mse", "ssim", "epsilon")
_MEMBERSHIP_SCORES = ("lira", "rmia", "loss")  # their `auc` is P1's; `race.auc` is P2's


@dataclass(frozen=True)
class MetricInfo:
    """What a table has to know about a metric."""

    risk: str
    """The risk's name, or empty for a metric that is not ours."""
    worse: Harm
    """Which way is worse for the victim; empty where neither is."""
    primary: bool = False
    """Whether it decides the verdict on its risk."""
    fraction: bool = True
    """Whether it is a share in [0, 1], shown in per cent."""


def metric_info(name: str) -> MetricInfo:
    """What is known of a metric, prefixes such as `race.` or `class_0.` included.

    >>> metric_info("robust_accuracy").worse, metric_info("race.balanced_accuracy").risk
    ('lower', 'attribute_inference')
    """
    risk = _owner(name)
    base = _base(name, risk)
    if risk is None:
        return MetricInfo("", "", fraction=base not in _NO_FRACTIONS)
    # The gap of one attribute decides; the reconstruction of one class does not.
    primary = risk is not UTILITY and risk.is_primary(name) and not name.startswith("class_")
    return MetricInfo(risk.name, risk.harm[base], primary, base not in _NO_FRACTIONS)


def title(risk: str) -> str:
    """A risk as headings name it: `S1 evasion`.

    >>> title("evasion"), title("utility")
    ('S1 evasion', 'Utility')
    """
    if risk in RISKS:
        return f"{RISKS[risk].code} {RISKS[risk].title}"
    return risk.capitalize() or "Other"


def order(metric: str) -> tuple[int, bool, int]:
    """Where a metric stands in tables: utility first, then the risks as in the paper; what came after an attack last.

    >>> sorted(["fidelity", "robust_accuracy", "test_accuracy", "mine"], key=order)
    ['test_accuracy', 'robust_accuracy', 'fidelity', 'mine']
    """
    risks = [UTILITY, *RISKS.values()]
    owner = _owner(metric)
    if owner is None:
        return len(risks), False, 0
    return risks.index(owner), metric.startswith(AFTER), list(owner.harm).index(_base(metric, owner))


def _owner(name: str) -> Risk | None:
    owners = [risk for risk in (UTILITY, *RISKS.values()) if _base(name, risk) in risk.harm]
    if len(owners) > 1:
        wanted = "membership_inference" if name.startswith(_MEMBERSHIP_SCORES) else "attribute_inference"
        owners = [risk for risk in owners if risk.name == wanted] or owners
    return owners[0] if owners else None


def _base(name: str, risk: Risk | None) -> str:
    """The name without its prefix; some names have a dot of their own."""
    for known in risk.harm if risk else ():
        if name == known or name.endswith(f".{known}"):
            return known
    return name.rpartition(".")[2]
