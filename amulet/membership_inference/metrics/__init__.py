"""Metrics of membership inference."""

from amulet.core.ranking import auc, auc_interval
from amulet.membership_inference.metrics.audit import Audit, chance_of, least_epsilon
from amulet.membership_inference.metrics.membership import MembershipEvidence, measure, most_exposed
from amulet.membership_inference.metrics.roc import balanced_accuracy, hits_at_fpr, roc, tpr_interval

__all__ = [
    "Audit",
    "MembershipEvidence",
    "auc",
    "auc_interval",
    "balanced_accuracy",
    "chance_of",
    "hits_at_fpr",
    "least_epsilon",
    "measure",
    "most_exposed",
    "roc",
    "tpr_interval",
]
