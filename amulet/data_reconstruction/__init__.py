"""P3 data reconstruction: what the records of a class look like on average, read out of the model."""
