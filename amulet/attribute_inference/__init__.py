"""P2 attribute inference: sensitive attributes of a record, inferred from a model's answer to it."""
