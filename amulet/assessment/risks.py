"""The eight risks: their codes, their packages, and the metric that decides each. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Harm = Literal["higher", "lower", ""]
"""Which way is worse for the victim; empty: neither, as for the accuracy of a stolen model's teacher."""


@dataclass(frozen=True)
class Risk:
    """One risk."""

    name: str
    """Its package, also its name in configurations."""
    code: str
    """As in the paper: S1 to F."""
    title: str
    primary: str
    """The metric that decides; where `by_attribute`, one for each sensitive attribute: `race.<primary>`."""
    harm: Mapping[str, Harm] = field(default_factory=dict[str, Harm])
    """Its metrics, and which way each is worse for the victim."""
    by_attribute: bool = False
    retrains: bool = False
    """Does assessing it train the victim anew, on other records? It then says what the recipe gives away."""

    def owns(self, metric: str) -> bool:
        """Is `metric` one of this risk's? Prefixes (`race.auc`, `class_0.mse`) do not count."""
        return any(metric == name or metric.endswith(f".{name}") for name in self.harm)

    def is_primary(self, metric: str) -> bool:
        """Does `metric` decide on this risk, for one attribute at least?"""
        attribute, _, name = metric.rpartition(".")
        return metric == self.primary or (self.by_attribute and name == self.primary and "." not in attribute)


UTILITY = Risk(
    "utility",
    "U",
    "utility",
    "test_accuracy",
    {"train_accuracy": "", "test_accuracy": "lower", "test_balanced_accuracy": "lower"},
)

RISKS: dict[str, Risk] = {
    risk.name: risk
    for risk in (
        Risk("evasion", "S1", "evasion", "robust_accuracy", {"robust_accuracy": "lower"}),
        Risk(
            "poisoning",
            "S2",
            "data poisoning",
            "attack_success_rate",
            {
                "attack_success_rate": "higher",
                "poisoned_accuracy": "higher",
                "poisoned_test_accuracy": "lower",
            },
            retrains=True,
        ),
        Risk(
            "unauth_model_ownership",
            "S3",
            "unauthorized model ownership",
            "fidelity_kappa",
            {
                "stolen_test_accuracy": "higher",
                "fidelity": "higher",
                "correct_fidelity": "higher",
                "agreement_and_correct": "higher",
                "fidelity_kappa": "higher",
                "ownership_accuracy": "lower",
                "ownership_fpr": "higher",
                "ownership_fnr": "higher",
                "watermark_accuracy": "lower",
                "p_value": "higher",
                "fingerprint_membership_auc": "higher",
                "fingerprint_attribute_auc": "higher",
            },
        ),
        Risk(
            "membership_inference",
            "P1",
            "membership inference",
            "lira_online.auc",
            {
                "auc": "higher",
                "balanced_accuracy": "higher",
                "tpr_at_1pct_fpr": "higher",
                "tpr_at_0.1pct_fpr": "higher",
                "epsilon": "higher",
            },
            retrains=True,
        ),
        Risk(
            "attribute_inference",
            "P2",
            "attribute inference",
            "balanced_accuracy",
            {"balanced_accuracy": "higher", "auc": "higher", "attack_accuracy": "higher", "advantage": "higher"},
            by_attribute=True,
        ),
        Risk("data_reconstruction", "P3", "data reconstruction", "mse", {"mse": "lower", "ssim": "higher"}),
        Risk(
            "distribution_inference",
            "P4",
            "distribution inference",
            "distinguishing_accuracy",
            {"distinguishing_accuracy": "higher"},
            retrains=True,
        ),
        Risk(
            "discriminatory_behavior",
            "F",
            "discriminatory behavior",
            "equalized_odds",
            {
                "demographic_parity": "higher",
                "true_positive_parity": "higher",
                "false_positive_parity": "higher",
                "equalized_odds": "higher",
                "p_rule": "lower",
                "worst_group_accuracy": "lower",
            },
            by_attribute=True,
        ),
    )
}

ALIASES = {"fairness": "discriminatory_behavior"}


def risk_of(name: str) -> Risk:
    """A risk by its name, its code or an alias (`fairness`); KeyError if there is none."""
    for risk in (*RISKS.values(), UTILITY):
        if name.lower() in (risk.name, risk.code.lower()):
            return risk
    return RISKS[ALIASES[name]]
