"""S2 poisoning: changes of training records that make the model learn what an adversary wants."""
