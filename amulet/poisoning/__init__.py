"""S2 poisoning: training records changed so that the model learns what an adversary wants."""
