"""The paper's helper functions: thin wrappers of the other packages."""

from amulet.utils.helpers import get_accuracy, initialize_model, load_data, train_classifier

__all__ = ["get_accuracy", "initialize_model", "load_data", "train_classifier"]
