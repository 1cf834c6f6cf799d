"""P4 distribution inference: what share of the training records has a sensitive attribute, read off a model."""
