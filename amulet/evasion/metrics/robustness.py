"""Robust accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.influence import of_mean

METRICS = metrics_of(
    "evasion",
    Metric("robust_accuracy", "accuracy under attack", "lower", decides=True),
)


@dataclass(frozen=True, kw_only=True)
class EvasionEvidence(Evidence):
    """A victim's answers on n records before and after an evasion attack."""

    ids: Tensor
    """(n,) record ids."""
    clean_correct: Tensor
    """(n,) bool: correct before the attack."""
    robust_correct: Tensor
    """(n,) bool: correct after it; with true labels never where `clean_correct` is false."""
    distance: Tensor
    """(n,) norm of the change."""
    after: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """By attack of a suite, (n,) bool: what was still correct after it and those before it."""
    invalid: str = ""
    """Why no verdict may rest on what withstood the attack; empty: one may."""


def robust_accuracy(evidence: EvasionEvidence) -> float:
    """Share of records that are classified correctly after the attack, in [0, 1]; lower is worse for the victim.

    The mean over records of 1[f(x_adv) = y] (Madry et al., ICLR 2018; paper, Table 3).
    """
    return evidence.robust_correct.double().mean().item()


def measure(evidence: EvasionEvidence) -> Measurement:
    """Robust accuracy with its interval; its baseline is the accuracy without an attack."""
    measured = Measurement(warnings=list(evidence.warnings))
    measured.proportion(
        METRICS["robust_accuracy"],
        int(evidence.robust_correct.sum()),
        len(evidence.ids),
        baseline=evidence.clean_correct.double().mean().item(),
        influence=of_mean(evidence.ids, evidence.robust_correct),
        invalid=evidence.invalid,
        at=_budget(evidence.manifest),
    )
    for name, left in evidence.after.items():
        subject, total = {"attack": name}, len(evidence.ids)
        measured.proportion(
            METRICS["robust_accuracy"], int(left.sum()), total, subject, decides=False, at=_budget(evidence.manifest)
        )
    return measured


def _budget(manifest: Mapping[str, Any]) -> str:
    """The budget in words: `eps 0.05`, `eps 0.5 (l2)`, with the columns that may not change."""
    if "epsilon" not in manifest:
        return ""
    norm = "" if manifest["norm"] == "linf" else f" ({manifest['norm']})"
    kept = "".join(f", {name} kept" for name in manifest.get("immutable") or ())
    return f"eps {manifest['epsilon']:g}{norm}{kept}"
