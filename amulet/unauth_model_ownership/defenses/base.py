"""The base of defences that let an owner recognise a copy of its model."""

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
    """The result of an owner's verification for one suspect."""

    p_value: float
    """[0, 1]: the probability that an independent model looks at least as similar to the owner's."""
    score: float
    """The statistic behind the p-value; higher is more similar."""
    trials: int | None = None
    """The number of independent trials, if the score is a share of them."""


class Verifier(ABC):
    """An owner's verification, fixed before any suspect is seen; `judge` is the one method to write."""

    laborious: ClassVar[bool] = False
    """Is a judgement so much work that worker processes are worthwhile?"""
    manifest: Mapping[str, Any]
    """How the verification was set up, as JSON: counts, the roles of records."""
    arrays: Mapping[str, np.ndarray]
    """What it is based on, with record ids; kept in `evidence.npz`."""
    warnings: tuple[str, ...]
    """Reasons why its verdicts may not be reliable, each with what to do about it."""

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
        """Judge the owner's model, which equals an exact copy; with what the owner shows about records, if anything."""
        return self.judge(model), None

    def false_claim(self, model: nn.Module, rival: nn.Module) -> Judgement | None:
        """The claim on `model` of somebody who neither made nor marked it, made up afterwards with a model of its own.

        `rival` is that model. None if the verification leaves nothing to be chosen afterwards.
        """
        return None


class OwnershipDefense(Defense):
    """A defence that verifies ownership: its `verifier` says whether a suspect is a copy.

    The protocol of this risk judges populations of suspects with it and reports how often it is wrong: an exact copy
    of the owner's model, copies that the adversary fine-tuned, pruned, or put behind a filter of inputs, models stolen
    by the run's extraction attack with the adversary's records, and independent models trained on the adversary's
    records with their true labels.
    A suspect is flagged if its p-value is at most `alpha`.

    Requirements for a subclass:

    - `alpha` is one of its keyword-only hyper-parameters.
    - Every suspect except the exact copy has seen the adversary's records, and none the test split. What the owner
      compares its training records with must come from `splits.test_records`, never from `splits.adversary_records`.
    - `owner` may have other defences, and may be the undefended victim, whose training knows nothing of this
      defence: a verification that needs a mark then is to find none. What training decided and stored is in
      `owner.trained.arrays["<name>.<array>"]`.
    - Randomness of verification comes from `splits.stream / "verification" / self.name`, that of training from the
      model's own stream, `owner.stream / self.name`, so that it can be rebuilt for either victim.
    """

    risk = "unauth_model_ownership"
    survives_retraining = True
    score_metric: ClassVar[str | None] = None
    """The metric under which the exact copy's score is reported (`watermark_accuracy`); None: it is not reported."""
    alpha: float

    @abstractmethod
    def verifier(self, owner: Victim, splits: DataSplits) -> Verifier:
        """Set the verification up for one victim's model (`owner.model`, `owner.records`), without any suspect."""
