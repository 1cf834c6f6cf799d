"""The paper's helper functions, and metrics of plain predictions: thin wrappers of the other packages."""

from amulet.utils.helpers import get_accuracy, get_fidelity, initialize_model, load_data, train_classifier
from amulet.utils.metrics import fairness_metrics, membership_metrics

__all__ = [
    "fairness_metrics",
    "get_accuracy",
    "get_fidelity",
    "initialize_model",
    "load_data",
    "membership_metrics",
    "train_classifier",
]
