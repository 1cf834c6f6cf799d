"""P4 distribution inference: what share of the training records has a sensitive attribute, inferred from a model."""
