"""From the evidence of ownership to its metrics, baselines, intervals and warnings."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from amulet.core.evidence import Measurement
from amulet.core.facts import Metric
from amulet.unauth_model_ownership.metrics.evidence import COPIES, OwnershipEvidence, Verification
from amulet.unauth_model_ownership.metrics.extraction import (
    agreement_and_correct,
    correct_fidelity,
    fidelity,
    fidelity_kappa,
    kappa_interval,
)
from amulet.unauth_model_ownership.metrics.fingerprints import measure_fingerprints
from amulet.unauth_model_ownership.metrics.names import METRICS


def measure(evidence: OwnershipEvidence) -> Measurement:
    """The four kinds of fidelity with an independent model's as baseline, and how well ownership is verified.

    With several ownership defences the metrics of each have its name in front: `watermarknn.ownership_fpr`.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    _extraction(evidence, measured)
    for verification in evidence.verifications:
        subject = {"defense": verification.defense} if len(evidence.verifications) > 1 else {}
        _ownership(evidence, verification, measured, subject)
    return measured


def _extraction(evidence: OwnershipEvidence, measured: Measurement) -> None:
    labels, victim, stolen = evidence.labels, evidence.victim_answers, evidence.stolen_answers
    agree, n = victim == stolen, len(evidence.labels)
    measured.proportion(METRICS["stolen_test_accuracy"], int((stolen == labels).sum()), n)
    measured.proportion(METRICS["fidelity"], int(agree.sum()), n)
    measured.proportion(METRICS["correct_fidelity"], int((agree & (victim == labels)).sum()), int(agree.sum()))
    measured.proportion(METRICS["agreement_and_correct"], int((agree & (victim == labels)).sum()), n)
    kappa, low, high = kappa_interval(victim, stolen, evidence.num_classes)
    measured.record(METRICS["fidelity_kappa"], kappa, interval=None if math.isnan(kappa) else (low, high))
    for budget, answers in evidence.curve.items():
        hits = int((answers == victim).sum())
        measured.proportion(METRICS["fidelity"], hits, n, {"queries": str(budget)}, prefix=[f"queries_{budget}"])
    measured.baselines |= _of_other_model(evidence, evidence.independent_answers)
    constant = torch.full_like(victim, evidence.majority)
    measured.baselines["majority.stolen_test_accuracy"] = fidelity(constant, labels)
    measured.baselines["majority.fidelity"] = fidelity(constant, victim)
    measured.warnings += _collapses(evidence)


def _of_other_model(evidence: OwnershipEvidence, answers: Tensor) -> dict[str, float]:
    victim, labels = evidence.victim_answers, evidence.labels
    return {
        "stolen_test_accuracy": fidelity(answers, labels),
        "fidelity": fidelity(victim, answers),
        "correct_fidelity": correct_fidelity(victim, answers, labels),
        "agreement_and_correct": agreement_and_correct(victim, answers, labels),
        "fidelity_kappa": fidelity_kappa(victim, answers, evidence.num_classes),
    }


def _collapses(evidence: OwnershipEvidence) -> list[str]:
    victim, stolen = evidence.victim_answers.unique(), evidence.stolen_answers.unique()
    found = ""
    if len(victim) == 1 == len(stolen):
        kappa = "null" if victim[0] == stolen[0] else "0"
        found = (
            "victim and stolen model each give one class for every test record, so fidelity says nothing and "
            f"fidelity_kappa is {kappa}: a collapse, not a measurement. Mend the victim first: lower optimizer.lr or "
            "the defence's strength"
        )
    elif len(victim) == 1:
        found = (
            f"the victim gives class {int(victim[0])} for every test record: there is nothing to steal, and fidelity "
            "is the share of that class in the stolen model's answers. Mend the victim first: lower optimizer.lr or "
            "the defence's strength"
        )
    elif len(stolen) == 1:
        found = (
            f"the stolen model gives class {int(stolen[0])} for every test record: the extraction collapsed, and its "
            "fidelity is that of a constant. Raise attack.queries or attack.epochs, or lower optimizer.lr"
        )
    if not bool((evidence.victim_answers == evidence.stolen_answers).any()):
        strangers = "victim and stolen model agree on no test record, so correct_fidelity is null"
        return [f"{evidence.victim}: {text}" for text in (found, strangers) if text]
    return [f"{evidence.victim}: {found}"] if found else []


def _ownership(
    evidence: OwnershipEvidence, verification: Verification, measured: Measurement, subject: Mapping[str, str]
) -> None:
    hits, copies = verification.flagged(*COPIES)
    false, independents = verification.flagged("independent")
    right = measured.proportion(
        METRICS["ownership_accuracy"], hits + independents - false, copies + independents, subject
    )
    # What would be without looking at the suspects: to call none a copy, or all.
    measured.baselines[right] = max(copies, independents) / (copies + independents)
    measured.proportion(METRICS["ownership_fpr"], false, independents, subject)
    measured.proportion(METRICS["ownership_fnr"], copies - hits, copies, subject)
    for kind in ("fine_tuned", "stolen"):
        caught, suspects = verification.flagged(kind)
        missed = suspects - caught
        measured.proportion(METRICS["ownership_fnr"], missed, suspects, {**subject, "suspects": kind})
    p_value = float(verification.p_values["exact_copy"][0])
    median = float(sorted(verification.p_values["independent"])[independents // 2])
    measured.record(METRICS["p_value"], p_value, subject, baseline=median)
    if verification.score_metric:
        score = float(verification.scores["exact_copy"][0])
        stated = verification.score_metric
        metric = METRICS.get(stated) or Metric(stated, stated.replace("_", " "), risk="unauth_model_ownership", rank=99)
        if verification.trials:
            name = measured.proportion(metric, round(score * verification.trials), verification.trials, subject)
        else:
            name = measured.record(metric, score, subject)
        measured.baselines[name] = float(verification.scores["independent"].mean())
    if verification.fingerprints:
        measure_fingerprints(verification.fingerprints, measured, evidence.victim, subject)
    measured.warnings += _warnings_of(evidence.victim, verification, p_value)


def _warnings_of(victim: str, verification: Verification, p_value: float) -> list[str]:
    from scipy.special import betainc

    found: list[str] = []
    name, alpha = verification.defense, verification.alpha
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
    return found
