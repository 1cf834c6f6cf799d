"""From the evidence of ownership to its metrics, baselines, intervals and warnings."""

import math

import torch
from torch import Tensor

from amulet.core.evidence import Measurement
from amulet.unauth_model_ownership.metrics.evidence import COPIES, OwnershipEvidence, Verification
from amulet.unauth_model_ownership.metrics.extraction import (
    agreement_and_correct,
    correct_fidelity,
    fidelity,
    fidelity_kappa,
    kappa_interval,
)
from amulet.unauth_model_ownership.metrics.fingerprints import measure_fingerprints


def measure(evidence: OwnershipEvidence) -> Measurement:
    """Fidelity in its four readings beside an independent model's, and how well ownership is told.

    With several ownership defences the metrics of each carry its name: `watermarknn.ownership_fpr`.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    _extraction(evidence, measured)
    for verification in evidence.verifications:
        prefix = f"{verification.defense}." if len(evidence.verifications) > 1 else ""
        _ownership(evidence, verification, measured, prefix)
    return measured


def _extraction(evidence: OwnershipEvidence, measured: Measurement) -> None:
    labels, victim, stolen = evidence.labels, evidence.victim_answers, evidence.stolen_answers
    agree, n = victim == stolen, len(evidence.labels)
    measured.proportion("stolen_test_accuracy", int((stolen == labels).sum()), n)
    measured.proportion("fidelity", int(agree.sum()), n)
    measured.proportion("correct_fidelity", int((agree & (victim == labels)).sum()), int(agree.sum()))
    measured.proportion("agreement_and_correct", int((agree & (victim == labels)).sum()), n)
    kappa, low, high = kappa_interval(victim, stolen, evidence.num_classes)
    measured.metrics["fidelity_kappa"] = kappa
    if not math.isnan(kappa):
        measured.intervals["fidelity_kappa"] = low, high
    for budget, answers in evidence.curve.items():
        measured.proportion(f"queries_{budget}.fidelity", int((answers == victim).sum()), n)
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


def _ownership(evidence: OwnershipEvidence, verification: Verification, measured: Measurement, prefix: str) -> None:
    hits, copies = verification.flagged(*COPIES)
    false, independents = verification.flagged("independent")
    measured.proportion(f"{prefix}ownership_accuracy", hits + independents - false, copies + independents)
    measured.proportion(f"{prefix}ownership_fpr", false, independents)
    measured.proportion(f"{prefix}ownership_fnr", copies - hits, copies)
    for kind in ("fine_tuned", "stolen"):
        caught, suspects = verification.flagged(kind)
        measured.proportion(f"{prefix}{kind}.ownership_fnr", suspects - caught, suspects)
    # What would be without looking at the suspects: to call none a copy, or all.
    measured.baselines[f"{prefix}ownership_accuracy"] = max(copies, independents) / (copies + independents)
    p_value = float(verification.p_values["exact_copy"][0])
    measured.metrics[f"{prefix}p_value"] = p_value
    measured.baselines[f"{prefix}p_value"] = float(sorted(verification.p_values["independent"])[independents // 2])
    if verification.score_metric:
        name, score = f"{prefix}{verification.score_metric}", float(verification.scores["exact_copy"][0])
        if verification.trials:
            measured.proportion(name, round(score * verification.trials), verification.trials)
        else:
            measured.metrics[name] = score
        measured.baselines[name] = float(verification.scores["independent"].mean())
    if verification.fingerprints:
        measure_fingerprints(verification.fingerprints, measured, evidence.victim, prefix)
    measured.warnings += _doubts(evidence.victim, verification, p_value)


def _doubts(victim: str, verification: Verification, p_value: float) -> list[str]:
    from scipy.special import betainc

    found: list[str] = []
    name, alpha = verification.defense, verification.alpha
    if verification.applied and not p_value <= alpha:
        found.append(
            f"{victim}: {name} does not recognise an exact copy of the model (p = {p_value:.3g}, alpha = {alpha:g}): "
            "what it says of other suspects carries nothing. Strengthen the defence, or train longer (epochs)"
        )
    false, independents = verification.flagged("independent")
    # How likely so many false alarms are at the nominal rate, by the binomial tail.
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
