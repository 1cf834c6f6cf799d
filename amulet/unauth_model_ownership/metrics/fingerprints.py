"""What an owner's fingerprints reveal about the records."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amulet.core.evidence import Measurement
from amulet.core.ranking import auc, auc_interval, one_vs_rest_auc
from amulet.unauth_model_ownership.metrics.names import METRICS

_FEW = 30


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """What the judge of a claim of ownership sees of n records: the owner's training records and public ones.

    In addition to the records themselves, which not every verification shows.
    """

    member: Tensor
    """(n,) bool: one of the owner's training records?"""
    rows: Tensor
    """(n, f) float64: the fingerprint of each record on the owner's model."""
    scores: Tensor
    """(n,) the verification's membership score of each."""
    answers: Tensor
    """(n, a) float64: the model's answer and the label of each, as the baseline of the rows."""
    losses: Tensor
    """(n,) the model's loss on each: the simplest membership score."""
    attributes: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(n,) by sensitive attribute."""


def measure_fingerprints(found: Fingerprints, measured: Measurement, name: str, subject: Mapping[str, str]) -> None:
    """Add to `measured` how well fingerprints tell who was trained on, and what attributes records have.

    - `fingerprint_membership_auc`: AUC of the verification's score, training records against public ones. Baseline: of
      the model's loss.
    - `race.fingerprint_attribute_auc`: AUC of a classifier (gradient-boosted trees) that learned the attribute from the
      fingerprints of the public records, on those of the training records. Baseline: the same classifier on the model's
      answers and the labels of the same records. With more than two values the mean, each against the rest.

    Both in [0, 1], 0.5 is chance, higher is worse for the victim; NaN where there are too few records of a kind.
    """
    member = found.member.numpy()
    measured.record(
        METRICS["fingerprint_membership_auc"],
        auc(member, found.scores.numpy()),
        subject,
        interval=auc_interval(member, found.scores.numpy()),
        baseline=auc(member, -found.losses.numpy()),
    )
    for attribute, truth in found.attributes.items():
        metric, about = METRICS["fingerprint_attribute_auc"], {**subject, "attribute": attribute}
        sides = truth[~found.member], truth[found.member]
        if any(len(side.unique()) < 2 or int(side.bincount()[side.unique()].min()) < _FEW for side in sides):
            measured.record(metric, math.nan, about)
            measured.warnings.append(
                f"{name}: fewer than {_FEW} fingerprints of some value of {attribute}, too few to learn it from: "
                "fingerprint_attribute_auc cannot be had. Raise defense.records or use more data"
            )
            continue
        guessed, plain = (_guessed(rows, truth, found.member) for rows in (found.rows, found.answers))
        value, baseline = (one_vs_rest_auc(g, sides[1]) for g in (guessed, plain))
        binary = guessed.shape[1] == 2
        interval = auc_interval((sides[1] == 1).numpy(), guessed[:, 1].numpy()) if binary else None
        measured.record(metric, value, about, interval=interval, baseline=baseline)


def _guessed(rows: Tensor, truth: Tensor, member: Tensor) -> Tensor:
    """(m, k) how likely each training record has each value, learned from the public records' rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    settings: dict[str, Any] = {"early_stopping": False, "random_state": 0}
    learner: Any = HistGradientBoostingClassifier(**settings)
    learner.fit(rows[~member].numpy(), truth[~member].numpy())
    likely = np.zeros((int(member.sum()), int(truth.max()) + 1))
    likely[:, learner.classes_] = learner.predict_proba(rows[member].numpy())
    return torch.from_numpy(likely)
