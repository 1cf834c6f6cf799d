"""What the assessment of ownership leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from amulet.core.evidence import Evidence
from amulet.unauth_model_ownership.metrics.fingerprints import Fingerprints

COPIES = ("exact_copy", "fine_tuned", "stolen")
"""Kinds of suspects that come from the owner's model; the fourth kind is `independent`."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How one ownership defence judged the suspects. Every mapping is by kind: `COPIES` and `independent`."""

    defense: str
    """The defence's name."""
    alpha: float
    """Suspects of at most that p-value are flagged."""
    applied: bool
    """Is the owner's model protected by it? Of the undefended victim a mark is not to be found."""
    p_values: Mapping[str, np.ndarray]
    """(suspects,) float64 each."""
    scores: Mapping[str, np.ndarray]
    """(suspects,) float64 each."""
    score_metric: str | None = None
    """The metric that the exact copy's score is."""
    trials: int | None = None
    """Where scores are shares of independent trials, of how many."""
    details: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """What the verification rests on."""
    fingerprints: Fingerprints | None = None
    """What the owner shows of records, where it shows any."""

    def flagged(self, *kinds: str) -> tuple[int, int]:
        """How many suspects of these kinds are flagged, and of how many."""
        values = np.concatenate([self.p_values[kind] for kind in kinds])
        return int((values <= self.alpha).sum()), len(values)


@dataclass(frozen=True, kw_only=True)
class OwnershipEvidence(Evidence):
    """The answers of a victim, a stolen and an independent model on n test records, and verdicts on suspects."""

    victim: str
    """Its name, for warnings."""
    num_classes: int
    ids: Tensor
    """(n,) record ids."""
    labels: Tensor
    """(n,) true labels."""
    victim_answers: Tensor
    """(n,) the class that the victim gives."""
    stolen_answers: Tensor
    """(n,) the class that the stolen model gives."""
    independent_answers: Tensor
    """(n,) of a model trained as the stolen one, on the same records with their true labels."""
    majority: int
    """The most frequent label of the adversary's records: what a model that knows nothing answers."""
    curve: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(n,) answers of models stolen with smaller budgets, by budget."""
    verifications: tuple[Verification, ...] = ()

    def arrays(self) -> dict[str, np.ndarray]:
        """As of any evidence, with p-values as `<defence>.p_values.<kind>`, scores and fingerprints likewise."""
        found = super().arrays()
        for verification in self.verifications:
            for part in ("p_values", "scores", "details"):
                for name, value in getattr(verification, part).items():
                    found[f"{verification.defense}.{part}.{name}"] = value
            if verification.fingerprints:
                found[f"{verification.defense}.fingerprints.member"] = verification.fingerprints.member.numpy()
                found[f"{verification.defense}.fingerprints.scores"] = verification.fingerprints.scores.numpy()
        return found
