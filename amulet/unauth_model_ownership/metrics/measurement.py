"""From the evidence of ownership to its metrics, baselines, intervals and warnings."""

import math
from functools import partial

import torch
from torch import Tensor

from amulet.core.evidence import Measurement
from amulet.core.influence import of_cells, of_mean
from amulet.unauth_model_ownership.metrics.evidence import OwnershipEvidence
from amulet.unauth_model_ownership.metrics.extraction import (
    agreement_and_correct,
    correct_fidelity,
    fidelity,
    fidelity_kappa,
    kappa_interval,
    kappa_of_shares,
)
from amulet.unauth_model_ownership.metrics.names import METRICS
from amulet.unauth_model_ownership.metrics.verification import measure_verification

_CEILING = 0.95
_THEFT = {"question": "theft"}


def measure(evidence: OwnershipEvidence) -> Measurement:
    """How much of the victim a stolen model has, and how well its owner tells copies from other models.

    These are two questions, and each has a metric that decides it: `fidelity_kappa`, and where a defence verifies
    ownership `ownership_accuracy`. With several such defences the metrics of each have its name in front:
    `watermarknn.ownership_fpr`.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    _theft(evidence, measured)
    for budget, answers in evidence.curve.items():
        _smaller_theft(evidence, budget, answers, measured)
    if evidence.verifications:
        accuracy = fidelity(evidence.victim_answers, evidence.labels)
        for kind, values in evidence.suspect_accuracies.items():
            if kind != "exact_copy":  # which has the victim's
                mean = float(values.mean())
                measured.record(METRICS["suspect_accuracy"], mean, {"suspects": kind}, baseline=accuracy)
    for verification in evidence.verifications:
        subject = {"defense": verification.defense} if len(evidence.verifications) > 1 else {}
        measure_verification(evidence.victim, verification, measured, subject)
    return measured


def _theft(evidence: OwnershipEvidence, measured: Measurement) -> None:
    """The four kinds of fidelity and the stolen model's accuracy, beside an independent model's."""
    ids, labels, victim, stolen = evidence.ids, evidence.labels, evidence.victim_answers, evidence.stolen_answers
    baselines = _of_other_model(evidence, evidence.independent_answers)
    agree, right = victim == stolen, stolen == labels
    for name, hits in (
        ("stolen_test_accuracy", right),
        ("fidelity", agree),
        ("agreement_and_correct", agree & right),
    ):
        count, moved = int(hits.sum()), of_mean(ids, hits)
        measured.proportion(METRICS[name], count, len(ids), baseline=baselines[name], influence=moved)
    both, any_agree = agree.long() + (agree & right), bool(agree.any())  # 0 differ, 1 agree, 2 agree and are correct
    measured.proportion(
        METRICS["correct_fidelity"],
        int((agree & right).sum()),
        int(agree.sum()),
        baseline=baselines["correct_fidelity"],
        influence=of_cells(ids, both, lambda p: float(p[2] / (p[1] + p[2])), 3) if any_agree else None,
    )
    kappa, low, high = kappa_interval(victim, stolen, evidence.num_classes)
    known, classes = not math.isnan(kappa), evidence.num_classes
    measured.record(
        METRICS["fidelity_kappa"],
        kappa,
        _THEFT,
        prefix=(),
        interval=(low, high) if known else None,
        baseline=baselines["fidelity_kappa"],
        influence=of_cells(ids, victim * classes + stolen, partial(kappa_of_shares, classes), classes**2)
        if known
        else None,
        invalid="the stolen model answers one class" if _only_thief_collapsed(victim, stolen) else "",
    )
    constant = torch.full_like(victim, evidence.majority)
    measured.baselines["majority.stolen_test_accuracy"] = fidelity(constant, labels)
    measured.baselines["majority.fidelity"] = fidelity(constant, victim)
    measured.warnings += _collapses(evidence)
    measured.warnings += _of_theft(evidence, evidence.victim, stolen, kappa, baselines["fidelity_kappa"])
    if kappa >= _CEILING:
        measured.warnings.append(
            f"{evidence.victim}: fidelity_kappa is {kappa:.3f}, near its ceiling of 1: that a defence makes theft "
            "easier can hardly show. Set a smaller budget (attack.queries), or look at attack.query_curve"
        )


def _smaller_theft(evidence: OwnershipEvidence, budget: str, answers: Tensor, measured: Measurement) -> None:
    """Fidelity of a model stolen with a part of the queries."""
    about, prefix, victim = {"queries": budget}, [f"queries_{budget}"], evidence.victim_answers
    alone = evidence.independent_curve.get(budget)
    found = {} if alone is None else _of_other_model(evidence, alone)
    hits, usual = victim == answers, found.get("fidelity_kappa")
    measured.proportion(
        METRICS["fidelity"],
        int(hits.sum()),
        len(hits),
        about,
        prefix=prefix,
        baseline=found.get("fidelity"),
        influence=of_mean(evidence.ids, hits),
    )
    kappa, low, high = kappa_interval(victim, answers, evidence.num_classes)
    interval = None if math.isnan(kappa) else (low, high)
    measured.record(
        METRICS["fidelity_kappa"], kappa, about, prefix=prefix, interval=interval, baseline=usual, decides=False
    )
    who = f"{evidence.victim}, {budget} queries"
    measured.warnings += _of_theft(evidence, who, answers, kappa, math.nan if usual is None else usual)


def _only_thief_collapsed(victim: Tensor, stolen: Tensor) -> bool:
    return len(stolen.unique()) == 1 and len(victim.unique()) > 1


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
    """Victims that answer one class: there is nothing to steal."""
    victim, stolen = evidence.victim_answers.unique(), evidence.stolen_answers.unique()
    if len(victim) > 1:
        return []
    if len(stolen) == 1:
        kappa = "null" if victim[0] == stolen[0] else "0"
        found = (
            "victim and stolen model each give one class for every test record, so fidelity says nothing and "
            f"fidelity_kappa is {kappa}: a collapse, not a measurement. Mend the victim first: lower optimizer.lr or "
            "the defence's strength"
        )
    else:
        found = (
            f"the victim gives class {int(victim[0])} for every test record: there is nothing to steal, and fidelity "
            "is the share of that class in the stolen model's answers. Mend the victim first: lower optimizer.lr or "
            "the defence's strength"
        )
    return [f"{evidence.victim}: {found}"]


def _of_theft(evidence: OwnershipEvidence, who: str, stolen: Tensor, kappa: float, usual: float) -> list[str]:
    """What is doubtful about one stolen model of a victim that answers more than one class."""
    found: list[str] = []
    several = len(evidence.victim_answers.unique()) > 1
    if _only_thief_collapsed(evidence.victim_answers, stolen):
        found.append(
            f"the stolen model gives class {int(stolen[0])} for every test record: the extraction collapsed, and its "
            "fidelity is that of a constant. Raise attack.queries or attack.epochs, or lower optimizer.lr"
        )
    elif several and kappa <= usual:
        found.append(
            f"the stolen model agrees with the victim no more than an independent one that learned the true labels of "
            f"as many records (fidelity_kappa {kappa:.3f}, {usual:.3f}): the answers gave the thief nothing. A "
            "stronger thief may do better: set attack.objective=kl, raise attack.queries or attack.epochs"
        )
    if not bool((evidence.victim_answers == stolen).any()):
        found.append("victim and stolen model agree on no test record, so correct_fidelity is null")
    return [f"{who}: {text}" for text in found]
