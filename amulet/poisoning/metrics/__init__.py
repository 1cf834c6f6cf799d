"""Metrics of poisoning."""

from amulet.poisoning.metrics.backdoor import PoisoningEvidence, attack_success_rate, measure, poisoned_accuracy

__all__ = ["PoisoningEvidence", "attack_success_rate", "measure", "poisoned_accuracy"]
