"""The paper's helper functions: thin doors to the rooms behind them."""

from amulet.utils.helpers import get_accuracy, initialize_model, load_data, train_classifier

__all__ = ["get_accuracy", "initialize_model", "load_data", "train_classifier"]
