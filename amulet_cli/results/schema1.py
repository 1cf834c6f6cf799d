"""Results of schema 1, written before metrics stated their facts: what names say there, and nowhere else.

Metrics that have better names since are read under those.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from amulet.assessment.risks import RISKS
from amulet.core.component import Factory
from amulet.core.errors import SettingError
from amulet.core.facts import AttackFacts, DefenseFacts, Harm, MetricFacts, RiskFacts, RunFacts
from amulet.core.risk import UTILITY

RENAMED = {
    "demographic_parity": "demographic_parity_difference",
    "equalized_odds": "equalized_odds_difference",
    "true_positive_parity": "true_positive_rate_difference",
    "false_positive_parity": "false_positive_rate_difference",
}
"""Old names of metrics, without a prefix."""
_METRICS = {
    "utility": ("train_accuracy", "test_accuracy", "test_balanced_accuracy"),
    "evasion": ("robust_accuracy",),
    "poisoning": ("attack_success_rate", "poisoned_accuracy", "poisoned_test_accuracy"),
    "unauth_model_ownership": (
        *("stolen_test_accuracy", "fidelity", "correct_fidelity", "agreement_and_correct", "fidelity_kappa"),
        *("ownership_accuracy", "ownership_fpr", "ownership_fnr", "watermark_accuracy", "p_value"),
        *("fingerprint_membership_auc", "fingerprint_attribute_auc"),
    ),
    "membership_inference": ("auc", "balanced_accuracy", "tpr_at_1pct_fpr", "tpr_at_0.1pct_fpr", "epsilon"),
    "attribute_inference": ("balanced_accuracy", "auc", "attack_accuracy", "advantage"),
    "data_reconstruction": ("mse", "ssim"),
    "distribution_inference": ("distinguishing_accuracy",),
    "discriminatory_behavior": (
        *("demographic_parity_difference", "true_positive_rate_difference", "false_positive_rate_difference"),
        *("equalized_odds_difference", "p_rule", "worst_group_accuracy"),
    ),
}
"""By risk, in the order of tables."""
_HARMS: dict[str, Harm] = {
    "train_accuracy": "none",
    **dict.fromkeys(("test_accuracy", "test_balanced_accuracy", "robust_accuracy", "poisoned_test_accuracy"), "lower"),
    **dict.fromkeys(("ownership_accuracy", "watermark_accuracy", "mse", "p_rule", "worst_group_accuracy"), "lower"),
}
"""The others are worse the higher they are."""
_DECIDE = {
    "evasion": "robust_accuracy",
    "poisoning": "attack_success_rate",
    "unauth_model_ownership": "fidelity_kappa",
    "membership_inference": "lira_online.auc",
    "attribute_inference": "balanced_accuracy",
    "data_reconstruction": "mse",
    "distribution_inference": "distinguishing_accuracy",
    "discriminatory_behavior": "equalized_odds_difference",
}
_BY_ATTRIBUTE = ("attribute_inference", "discriminatory_behavior")
_SCORES = ("lira", "rmia", "loss")  # their `auc` is P1's; `race.auc` is P2's
_VERIFY = ("ownership_accuracy", "ownership_fpr", "ownership_fnr", "p_value")
_NO_FRACTIONS = ("p_value", "mse", "ssim", "epsilon")
_DEFENSES = {
    "AdversarialTrainingPGD": ("evasion", "in", "adversarial training"),
    "OutlierRemoval": ("poisoning", "before", "outlier removal"),
    "WatermarkNN": ("unauth_model_ownership", "before", "watermarking"),
    "DatasetInference": ("unauth_model_ownership", "after", "fingerprinting"),
    "DPSGD": ("membership_inference", "in", "differential privacy"),
    "AdversarialDebiasing": ("discriminatory_behavior", "in", "group fairness"),
}


def renamed(metric: str) -> str:
    """A metric by the name that it has now.

    >>> renamed("race.equalized_odds"), renamed("fidelity")
    ('race.equalized_odds_difference', 'fidelity')
    """
    prefix, dot, name = metric.rpartition(".")
    return f"{prefix}{dot}{RENAMED.get(name, name)}"


def facts_of(metrics: Iterable[str], config: Mapping[str, Any]) -> RunFacts:
    """What a result of schema 2 would state, as far as names and classes tell it."""
    return RunFacts(
        metrics={name: _metric(name) for name in dict.fromkeys(metrics)},
        risks={
            risk.name: RiskFacts(name=risk.name, code=risk.code, title=risk.title)
            for risk in (UTILITY, *RISKS.values())
        },
        defenses=tuple(_defense(config[key]) for key in ("defense", "second_defense") if _target(config.get(key))),
        attack=_attack(config.get("attack")),
        attacks=_attacks(config),
    )


def _metric(name: str) -> MetricFacts:
    risk, base = _owner(name)
    label, unit = name.replace("_", " "), "" if base in _NO_FRACTIONS else "fraction"
    if not risk:
        return MetricFacts(name=base, label=label, unit=unit)
    prefix = name.removesuffix(base).rstrip(".")
    after = prefix.partition(".")[0].removeprefix("after_") if prefix.startswith("after_") else ""
    decides = name == _DECIDE.get(risk) or (
        risk in _BY_ATTRIBUTE and base == _DECIDE[risk] and bool(prefix) and "." not in prefix
    )
    return MetricFacts(
        name=base,
        label=label,
        risk=risk,
        harm=_HARMS.get(base, "higher"),
        unit=unit,
        decides=decides and not prefix.startswith("class_"),
        verifies=base in _VERIFY,
        subject=_subject(risk, prefix) if prefix and not after else {},
        after=after,
        rank=_METRICS[risk].index(base),
    )


def _subject(risk: str, prefix: str) -> dict[str, str]:
    if risk in _BY_ATTRIBUTE:
        return {"attribute": prefix}
    first, _, second = prefix.partition(".")
    if risk == "membership_inference":
        return {"score": first, **({"members": second} if second else {})}
    return {"class": first.removeprefix("class_")} if first.startswith("class_") else {}


def _owner(name: str) -> tuple[str, str]:
    """The risk of a metric, and its name without a prefix; some names have a dot of their own."""
    found = {
        risk: base for risk, names in _METRICS.items() for base in names if name == base or name.endswith(f".{base}")
    }
    if {"membership_inference", "attribute_inference"} <= found.keys():
        del found["attribute_inference" if name.startswith(_SCORES) else "membership_inference"]
    return next(iter(found.items()), ("", name.rpartition(".")[2]))


def _target(node: Any) -> str:
    return str(cast(Mapping[str, Any], node).get("_target_") or "") if isinstance(node, Mapping) else ""


def _defense(node: Any) -> DefenseFacts:
    target = _target(node)
    kind = target.rpartition(".")[2]
    if target.startswith("amulet.") and kind in _DEFENSES:
        risk, stage, family = _DEFENSES[kind]
    else:
        loaded = _loaded(target)
        risk, stage, family = (str(getattr(loaded, name, "")) for name in ("risk", "stage", "family"))
    return DefenseFacts(kind=target, risk=risk, stage=stage, family=family)


def _attack(node: Any) -> AttackFacts | None:
    target = _target(node)
    if not target:
        return None
    ours = target.startswith("amulet.") and target.count(".") > 1
    risk = target.split(".")[1] if ours else str(getattr(_loaded(target), "risk", ""))
    settings = {key: value for key, value in node.items() if key != "_target_"}
    return AttackFacts(kind=target, risk=risk, settings=settings)


def _attacks(config: Mapping[str, Any]) -> dict[str, AttackFacts]:
    """By risk the settings that were asked of the attack that measured it."""
    chosen_metrics = config.get("metric")
    options = cast(Mapping[str, Any], chosen_metrics) if isinstance(chosen_metrics, Mapping) else {}
    found: dict[str, AttackFacts] = {}
    for name in RISKS:
        settings: dict[str, Any] = dict((options.get("every") or {}).get(name) or {})
        for node in options.values():
            if isinstance(node, Mapping) and cast(Mapping[str, Any], node).get("risk") == name:
                settings |= cast(Mapping[str, Any], node).get("attack") or {}
        found[name] = AttackFacts(kind="", risk=name, settings=settings)
    chosen = _attack(config.get("attack"))
    return {**found, chosen.risk: chosen} if chosen else found


def _loaded(target: str) -> Any:
    try:
        return Factory(target).load()
    except SettingError:  # a class of somebody else's that is not here
        return None
