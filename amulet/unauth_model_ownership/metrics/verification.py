"""How well ownership is verified: rates over suspects, p-values, and what is doubtful about them."""

import math
from collections.abc import Mapping

import numpy as np

from amulet.core.evidence import Measurement
from amulet.core.facts import Metric
from amulet.core.intervals import clopper_pearson
from amulet.unauth_model_ownership.metrics.evidence import Verification
from amulet.unauth_model_ownership.metrics.fingerprints import measure_fingerprints
from amulet.unauth_model_ownership.metrics.names import METRICS


def measure_verification(
    victim: str, verification: Verification, measured: Measurement, subject: Mapping[str, str]
) -> None:
    """Add to `measured` how one defence judged the suspects of a victim.

    Args:
        victim: its name, for warnings.
        verification: the verdicts.
        measured: what is added to.
        subject: the defence, where there are several.
    """
    false, others = verification.accused()
    hits, copies = verification.flagged(*verification.copies)
    value, interval = balanced(hits, copies, others - false, others)
    measured.record(
        METRICS["ownership_accuracy"],
        value,
        {**subject, "question": "ownership"},
        prefix=tuple(subject.values()),
        interval=interval,
        baseline=0.5,  # of a claim that does not look at the suspects: none is a copy, all are, or any coin
    )
    measured.proportion(METRICS["ownership_fpr"], false, others, subject)
    if verification.false_claim is not None:
        honest = {**subject, "suspects": "independent"}
        measured.proportion(METRICS["ownership_fpr"], *verification.flagged("independent"), honest)
    measured.proportion(METRICS["ownership_fnr"], copies - hits, copies, subject)
    for kind in verification.copies:
        if kind != "exact_copy":
            caught, suspects = verification.flagged(kind)
            measured.proportion(METRICS["ownership_fnr"], suspects - caught, suspects, {**subject, "suspects": kind})
    p_values = {kind: float(np.median(values)) for kind, values in verification.p_values.items()}
    for kind in verification.copies:
        about = subject if kind == "exact_copy" else {**subject, "suspects": kind}
        measured.record(METRICS["p_value"], p_values[kind], about, baseline=p_values["independent"])
    if verification.false_claim is not None:
        measured.record(METRICS["false_claim_p_value"], verification.false_claim, subject)
    if verification.score_metric:
        _scores(verification, verification.score_metric, measured, subject)
    if verification.fingerprints:
        measure_fingerprints(verification.fingerprints, measured, victim, subject)
    measured.warnings += _warnings_of(victim, verification, p_values["exact_copy"])


def balanced(hits: int, positives: int, rejections: int, negatives: int) -> tuple[float, tuple[float, float]]:
    """Balanced accuracy, the mean of two shares of independent trials, with its 95 % interval.

    The interval adds the squared distances of both Clopper-Pearson limits from their shares (Zou and Donner, 2008).

    >>> balanced(0, 16, 10, 10)[0]
    0.5
    """
    value, low, high = 0.0, 0.0, 0.0
    for count, trials in ((hits, positives), (rejections, negatives)):
        share, limits = count / trials, clopper_pearson(count, trials)
        value, low, high = value + share / 2, low + (share - limits[0]) ** 2, high + (limits[1] - share) ** 2
    return value, (value - math.sqrt(low) / 2, value + math.sqrt(high) / 2)


def _scores(verification: Verification, stated: str, measured: Measurement, subject: Mapping[str, str]) -> None:
    """The statistic behind the p-value: of the exact copy, and the mean of every other kind of copy."""
    metric = METRICS.get(stated) or Metric(stated, stated.replace("_", " "), risk="unauth_model_ownership", rank=99)
    baseline = float(verification.scores["independent"].mean())
    for kind in verification.copies:
        about = subject if kind == "exact_copy" else {**subject, "suspects": kind}
        score, trials = float(verification.scores[kind].mean()), verification.trials
        if trials and kind == "exact_copy":
            measured.proportion(metric, round(score * trials), trials, about, baseline=baseline)
        else:
            measured.record(metric, score, about, baseline=baseline)


def _warnings_of(victim: str, verification: Verification, p_value: float) -> list[str]:
    from scipy.special import betainc

    found: list[str] = []
    name, alpha = verification.title, verification.alpha
    if verification.applied and not p_value <= alpha:
        found.append(
            f"{victim}: {name} does not recognise an exact copy of the model (p = {p_value:.3g}, alpha = {alpha:g}): "
            "what it says of other suspects carries nothing. Strengthen the defence, or train longer (epochs)"
        )
    false, independents = verification.flagged("independent")
    # The probability of so many false alarms at the nominal rate, by the binomial tail.
    if false and betainc(false, independents - false + 1, alpha) < 0.01:
        found.append(
            f"{victim}: {name} flags {false} of {independents} independent models at alpha = {alpha:g}, far more than "
            "chance: it accuses the innocent. Do not rest a claim on it with this data"
        )
    elif independents < 1 / alpha and verification.applied:
        found.append(
            f"{name}: ownership_fpr rests on {independents} independent models, too few to resolve alpha = {alpha:g}: "
            f"read its interval, or raise attack.independents to {math.ceil(1 / alpha)} or more"
        )
    if verification.false_claim is not None and verification.false_claim <= alpha:
        found.append(
            f"{victim}: a stranger who takes another model's answers for the labels of its triggers claims this model "
            f"at p = {verification.false_claim:.2g} by {name}: a p-value holds only for labels drawn at random "
            "before the suspect existed. Deposit triggers and labels, or their hash, with a date"
        )
    return found
