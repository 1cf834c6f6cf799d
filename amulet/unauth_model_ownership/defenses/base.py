"""What a defence is that lets an owner recognise a model as a copy of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import nn

from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.metrics.fingerprints import Fingerprints


@dataclass(frozen=True)
class Judgement:
    """What an owner's verification says of one suspect."""

    p_value: float
    """[0, 1]: how likely a model that has nothing to do with the owner's looks so much like it."""
    score: float
    """What the p-value was made from; higher is more alike."""
    trials: int | None = None
    """Where the score is a share of independent trials, of how many."""


class Verifier(ABC):
    """An owner's verification, fixed before any suspect is seen; `judge` is the one method to write."""

    laborious: ClassVar[bool] = False
    """Is a judgement so much work that worker processes pay?"""
    manifest: Mapping[str, Any]
    """How the verification was set up, JSON: counts, which records serve for what."""
    arrays: Mapping[str, np.ndarray]
    """What it rests on, with record ids; kept in `evidence.npz`."""
    warnings: tuple[str, ...]
    """Why its verdicts may not carry their claim, each with what to do about it."""

    def __init__(
        self,
        manifest: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.manifest, self.arrays, self.warnings = manifest or {}, arrays or {}, warnings

    @abstractmethod
    def judge(self, suspect: nn.Module) -> Judgement:
        """Judge one suspect: in eval mode, on the runtime's device, of any architecture, not to be changed.

        The same suspect always gets the same judgement: draw from a fresh generator of one stream at each call.
        """

    def judge_owner(self, model: nn.Module) -> tuple[Judgement, Fingerprints | None]:
        """Judge the owner's own model, which an exact copy is; with what that shows of records, if it does."""
        return self.judge(model), None


class OwnershipDefense(Defense):
    """A defence that verifies ownership: its `verifier` says of a suspect whether it is a copy.

    The protocol of this risk judges populations of suspects with it and reports how often it is wrong: an exact copy
    of the owner's model, copies fine-tuned on the adversary's records, models stolen by the run's extraction attack
    with the adversary's records, and independent models trained on the adversary's records with their true labels.
    A suspect is flagged when its p-value is at most `alpha`.

    What a subclass must keep to:

    - `alpha` is one of its keyword-only hyper-parameters.
    - Every suspect but the exact copy has seen the adversary's records, and none the test split. What the owner
      compares its training records with must come from `splits.test_records`, never from `splits.adversary_records`.
    - `owner` may carry other defences, and may be the undefended victim, whose training knows nothing of this
      defence: a verification that needs a mark then is to find none. What training decided and stored is in
      `owner.trained.arrays["<name>.<array>"]`.
    - Randomness of verification comes from `splits.stream / "verification" / self.name`, that of training from the
      model's own stream, `owner.stream / self.name`, so that it can be rebuilt for either victim.
    """

    risk = "unauth_model_ownership"
    survives_retraining = True
    score_metric: ClassVar[str | None] = None
    """The metric under which the exact copy's score is reported (`watermark_accuracy`); None: not at all."""
    alpha: float

    @abstractmethod
    def verifier(self, owner: Victim, splits: DataSplits) -> Verifier:
        """Set the verification up for one victim's model (`owner.model`, `owner.records`), without any suspect."""
