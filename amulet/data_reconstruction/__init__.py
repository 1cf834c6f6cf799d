"""P3 data reconstruction: what the records of a class look like on average, extracted from the model."""
