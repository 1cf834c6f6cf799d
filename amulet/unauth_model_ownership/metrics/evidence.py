"""The evidence of an assessment of ownership."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from amulet.core.evidence import Evidence
from amulet.unauth_model_ownership.metrics.fingerprints import Fingerprints


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How one ownership defence judged the suspects. Every mapping is by kind: `independent`, and
    the kinds of copies, of which `exact_copy` is one."""

    defense: str
    """The defence's name."""
    title: str
    """The same in words."""
    alpha: float
    """Suspects with at most this p-value are flagged."""
    applied: bool
    """Is the owner's model protected by it? In the undefended victim no mark should be found."""
    p_values: Mapping[str, np.ndarray]
    """(suspects,) float64 each."""
    scores: Mapping[str, np.ndarray]
    """(suspects,) float64 each."""
    score_metric: str | None = None
    """The name of the metric for the exact copy's score."""
    trials: int | None = None
    """The number of independent trials, if scores are shares of them."""
    details: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """What the verification is based on."""
    fingerprints: Fingerprints | None = None
    """What the owner shows about records, if anything."""

    false_claim: float | None = None
    """The p-value of a claim on the owner's model that was made up afterwards; None if nothing can be chosen then."""

    @property
    def copies(self) -> tuple[str, ...]:
        """The kinds of suspects that come from the owner's model."""
        return tuple(kind for kind in self.p_values if kind != "independent")

    def accused(self) -> tuple[int, int]:
        """How many claims succeed that should not, of all of them.

        The owner's on independent models, and where there is one the liar's on the owner's model.
        """
        flagged, total = self.flagged("independent")
        if self.false_claim is None:
            return flagged, total
        return flagged + (self.false_claim <= self.alpha), total + 1

    def flagged(self, *kinds: str) -> tuple[int, int]:
        """The number of flagged suspects of these kinds, and the number of all."""
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
    """(n,) the victim's answer."""
    stolen_answers: Tensor
    """(n,) the stolen model's answer."""
    independent_answers: Tensor
    """(n,) of a model trained like the stolen one, on the same records with their true labels."""
    majority: int
    """The most frequent label of the adversary's records: the answer of a model that knows nothing."""
    curve: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(n,) answers of models stolen with smaller budgets, by budget."""
    independent_curve: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(n,) answers of independent models of as many records, by budget."""
    suspect_accuracies: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """(suspects,) float64 by kind: the accuracy of each on the test split."""
    verifications: tuple[Verification, ...] = ()

    def arrays(self) -> dict[str, np.ndarray]:
        """As for any evidence, with p-values as `<defence>.p_values.<kind>`, scores and fingerprints likewise."""
        found = super().arrays()
        for verification in self.verifications:
            for part in ("p_values", "scores", "details"):
                for name, value in getattr(verification, part).items():
                    found[f"{verification.defense}.{part}.{name}"] = value
            if verification.fingerprints:
                found[f"{verification.defense}.fingerprints.member"] = verification.fingerprints.member.numpy()
                found[f"{verification.defense}.fingerprints.scores"] = verification.fingerprints.scores.numpy()
        return found
