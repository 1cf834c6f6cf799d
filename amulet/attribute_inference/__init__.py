"""P2 attribute inference: sensitive attributes of a record guessed from a model's answer to it."""
