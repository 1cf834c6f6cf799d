"""Fidelity in its readings, agreement beyond chance, and the rates of a verification."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from amulet.core import clopper_pearson
from amulet.core.influence import Influence, of_cells
from amulet.unauth_model_ownership.metrics import (
    OwnershipEvidence,
    Verification,
    agreement_and_correct,
    confusion,
    correct_fidelity,
    fidelity,
    fidelity_kappa,
    kappa_interval,
    measure,
)
from amulet.unauth_model_ownership.metrics.extraction import kappa_of_shares
from amulet.unauth_model_ownership.metrics.verification import balanced

ANSWERS = st.integers(2, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(*[st.integers(0, classes - 1)] * 3), min_size=1, max_size=60),
    )
)


def made_up(n: int = 400, classes: int = 3, seed: int = 0, wrong: float = 0.2) -> tuple[Tensor, Tensor, Tensor]:
    """Answers of a victim, of a model that mostly agrees with it, and labels."""
    draw = np.random.default_rng(seed)
    victim = draw.integers(0, classes, n)
    stolen = np.where(draw.random(n) < wrong, draw.integers(0, classes, n), victim)
    labels = np.where(draw.random(n) < 0.3, draw.integers(0, classes, n), victim)
    return torch.from_numpy(victim), torch.from_numpy(stolen), torch.from_numpy(labels)


def evidence(victim: Tensor, stolen: Tensor, labels: Tensor, **more: object) -> OwnershipEvidence:
    given: dict[str, object] = {
        "victim": "undefended",
        "num_classes": 3,
        "ids": torch.arange(len(labels)),
        "labels": labels,
        "victim_answers": victim,
        "stolen_answers": stolen,
        "independent_answers": labels,
        "majority": 0,
    }
    return OwnershipEvidence(**{**given, **more})  # type: ignore[arg-type]


def judged(**more: object) -> Verification:
    p_values = {
        "exact_copy": np.array([1e-9]),
        "fine_tuned": np.array([1e-4, 0.2, 0.01, 0.5]),
        "stolen": np.array([0.3, 0.9, 0.02, 0.6]),
        "independent": np.array([0.4, 0.5, 0.001, 0.8, 0.9, 0.7, 0.2, 0.3, 0.6, 0.1]),
    }
    given: dict[str, object] = {
        "defense": "watermarknn",
        "title": "watermarking",
        "alpha": 0.01,
        "applied": True,
        "p_values": p_values,
        "scores": {kind: 1 - values for kind, values in p_values.items()},
    }
    return Verification(**{**given, **more})  # type: ignore[arg-type]


@given(ANSWERS)
def test_kappa_is_scikit_learns(made: tuple[int, list[tuple[int, int, int]]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    classes, rows = made
    victim, stolen, _ = (torch.tensor(column) for column in zip(*rows, strict=True))
    ours = fidelity_kappa(victim, stolen, classes)
    if len(set(victim.tolist()) | set(stolen.tolist())) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(cohen_kappa_score(victim.numpy(), stolen.numpy()), abs=1e-12)


@given(ANSWERS)
def test_the_readings_of_fidelity_are_counts(made: tuple[int, list[tuple[int, int, int]]]) -> None:
    classes, rows = made
    victim, stolen, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    agree = sum(v == s for v, s, _ in rows)
    right = sum(v == s == y for v, s, y in rows)
    assert fidelity(victim, stolen) == pytest.approx(agree / len(rows))
    assert agreement_and_correct(victim, stolen, labels) == pytest.approx(right / len(rows))
    conditional = correct_fidelity(victim, stolen, labels)
    assert conditional == pytest.approx(right / agree) if agree else math.isnan(conditional)
    assert confusion(victim, stolen, classes).trace() == agree


def test_the_two_definitions_of_correct_fidelity_differ() -> None:
    """What the paper's Table 7 shows is not what its Table 8 shows."""
    victim, stolen = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 0])
    labels = torch.tensor([0, 0, 0, 1])
    assert correct_fidelity(victim, stolen, labels) == pytest.approx(2 / 3)
    assert agreement_and_correct(victim, stolen, labels) == pytest.approx(2 / 4)


def test_models_that_know_nothing_of_each_other_have_high_fidelity_and_no_kappa() -> None:
    draw = np.random.default_rng(0)
    one, other = (torch.from_numpy((draw.random(20_000) < 0.1).astype(np.int64)) for _ in range(2))
    assert fidelity(one, other) > 0.8
    assert abs(fidelity_kappa(one, other, 2)) < 0.03


def test_kappas_interval_is_the_bootstraps() -> None:
    victim, stolen, _ = made_up(n=1500)
    kappa, low, high = kappa_interval(victim, stolen, 3)
    draw = np.random.default_rng(1)
    drawn = [torch.from_numpy(draw.integers(0, 1500, 1500)) for _ in range(800)]
    resampled = np.array([fidelity_kappa(victim[i], stolen[i], 3) for i in drawn])
    error = (high - low) / 2 / 1.959964
    assert low < kappa < high
    assert error == pytest.approx(resampled.std(), rel=0.1)


def test_kappas_standard_error_is_the_delta_methods() -> None:
    """By automatic differentiation of kappa in the cells' shares, whose covariance is the multinomial's."""
    victim, stolen, _ = made_up(n=300, wrong=0.5)
    p = (confusion(victim, stolen, 3).double() / 300).requires_grad_()
    chance = p.sum(dim=1) @ p.sum(dim=0)
    (slope,) = torch.autograd.grad((p.trace() - chance) / (1 - chance), p)
    variance = (p * slope.square()).sum() - (p * slope).sum().square()
    kappa, low, high = kappa_interval(victim, stolen, 3)
    assert high - kappa == pytest.approx(kappa - low)
    assert (high - low) / 2 / 1.959964 == pytest.approx((variance / 300).sqrt().item(), rel=1e-9)


def test_kappas_interval_of_perfect_agreement_has_a_width() -> None:
    answers = torch.tensor([0, 1] * 50)
    kappa, low, high = kappa_interval(answers, answers, 2)
    assert (kappa, high) == (1.0, 1.0)
    assert low == pytest.approx((clopper_pearson(100, 100)[0] - 0.5) / 0.5)


def test_every_share_has_its_clopper_pearson_interval_and_its_baselines() -> None:
    victim, stolen, labels = made_up()
    measured = measure(evidence(victim, stolen, labels, curve={"50": labels}))
    n, agree = 400, int((victim == stolen).sum())
    right = int(((victim == stolen) & (victim == labels)).sum())
    assert measured.intervals["fidelity"] == clopper_pearson(agree, n)
    assert measured.intervals["correct_fidelity"] == clopper_pearson(right, agree)
    assert measured.intervals["agreement_and_correct"] == clopper_pearson(right, n)
    assert measured.metrics["queries_50.fidelity"] == fidelity(victim, labels)
    assert measured.baselines["fidelity"] == fidelity(victim, labels)
    assert measured.baselines["fidelity_kappa"] == pytest.approx(fidelity_kappa(victim, labels, 3))
    assert measured.baselines["majority.fidelity"] == pytest.approx((victim == 0).double().mean().item())
    assert measured.warnings == []


@pytest.mark.parametrize(
    ("victim", "stolen", "says", "kappa"),
    [
        (0, 0, "victim and stolen model each give one class", math.nan),
        (0, 1, "fidelity_kappa is 0", 0.0),
        (0, None, "there is nothing to steal", 0.0),
        (None, 2, "the extraction collapsed", 0.0),
    ],
)
def test_collapses_are_flagged(victim: int | None, stolen: int | None, says: str, kappa: float) -> None:
    mixed = torch.arange(30) % 3
    first, second = (mixed if c is None else torch.full((30,), c) for c in (victim, stolen))
    measured = measure(evidence(first, second, mixed))
    never = math.isnan(measured.metrics["correct_fidelity"])
    assert len(measured.warnings) == 1 + never
    assert never == ("agree on no test record, so correct_fidelity is null" in measured.warnings[-1])
    assert says in measured.warnings[0]
    assert measured.warnings[0].startswith("undefended: ")
    assert measured.metrics["fidelity_kappa"] == pytest.approx(kappa, nan_ok=True)
    assert ("fidelity_kappa" in measured.intervals) == (not math.isnan(kappa))
    assert ("fidelity_kappa" in measured.invalid) == (victim is None)  # the attack failed, and no verdict rests on it


def test_rates_of_a_verification() -> None:
    measured = measure(evidence(*made_up(), verifications=(judged(score_metric="watermark_accuracy", trials=100),)))
    m = measured.metrics
    # Flagged at p <= 0.01: the exact copy, 2 of 4 fine-tuned, no stolen model, 1 of 10 independent ones.
    assert m["ownership_fnr"] == pytest.approx(6 / 9)
    assert m["ownership_fpr"] == pytest.approx(1 / 10)
    assert m["ownership_accuracy"] == pytest.approx((3 / 9 + 9 / 10) / 2)
    assert measured.baselines["ownership_accuracy"] == 0.5
    low, high = measured.intervals["ownership_accuracy"]
    assert 0.4 < low < m["ownership_accuracy"] < high < 0.82
    assert (m["fine_tuned.ownership_fnr"], m["stolen.ownership_fnr"]) == (0.5, 1.0)
    assert measured.intervals["ownership_fpr"] == clopper_pearson(1, 10)
    assert measured.intervals["ownership_fnr"] == clopper_pearson(6, 9)
    assert m["p_value"] == pytest.approx(1e-9)
    assert measured.intervals["watermark_accuracy"] == clopper_pearson(100, 100)
    assert measured.baselines["watermark_accuracy"] == pytest.approx(1 - 0.4501)


@pytest.mark.parametrize(("p_value", "succeeds"), [(1e-5, True), (0.4, False)])
def test_a_liars_claim_counts_among_false_positives(p_value: float, succeeds: bool) -> None:
    measured = measure(evidence(*made_up(), verifications=(judged(false_claim=p_value),)))
    m = measured.metrics
    assert m["ownership_fpr"] == pytest.approx((1 + succeeds) / 11)
    assert m["ownership_accuracy"] == pytest.approx((3 / 9 + (10 - succeeds) / 11) / 2)
    assert m["independent.ownership_fpr"] == pytest.approx(1 / 10)
    assert measured.intervals["ownership_fpr"] == clopper_pearson(1 + succeeds, 11)
    # What the mark keeps, by kind: the median p-value of its copies.
    assert m["p_value"] == pytest.approx(1e-9)
    kept = judged().p_values["fine_tuned"]
    assert m["fine_tuned.p_value"] == pytest.approx(float(np.median(kept)))


def test_theft_and_its_proof_are_two_questions() -> None:
    measured = measure(evidence(*made_up(), verifications=(judged(),)))
    asked = {name: facts for name, facts in measured.facts.items() if facts.decides}
    assert {name: dict(facts.subject) for name, facts in asked.items()} == {
        "fidelity_kappa": {"question": "theft"},
        "ownership_accuracy": {"question": "ownership"},
    }
    assert (asked["fidelity_kappa"].harm, asked["ownership_accuracy"].harm) == ("higher", "lower")
    assert [name for name, f in measure(evidence(*made_up())).facts.items() if f.decides] == ["fidelity_kappa"]
    both = measure(evidence(*made_up(), verifications=(judged(), judged(defense="datasetinference"))))
    assert both.facts["watermarknn.ownership_accuracy"].decides


@given(st.integers(0, 8), st.integers(1, 8), st.integers(0, 10), st.integers(1, 10))
def test_balanced_accuracys_interval_is_within_bounds_and_has_a_width(a: int, n: int, b: int, m: int) -> None:
    value, (low, high) = balanced(min(a, n), n, min(b, m), m)
    assert value == pytest.approx((min(a, n) / n + min(b, m) / m) / 2)
    assert -1e-12 <= low <= value <= high <= 1 + 1e-12
    assert high - low > 0.1


def test_balanced_accuracys_interval_covers() -> None:
    draw = np.random.default_rng(0)
    hits, rejections = draw.binomial(16, 0.6, 1000), draw.binomial(10, 0.9, 1000)
    found = {(a, b): balanced(a, 16, b, 10)[1] for a, b in set(zip(hits.tolist(), rejections.tolist(), strict=True))}
    covered = [low <= 0.75 <= high for low, high in (found[a, b] for a, b in zip(hits, rejections, strict=True))]
    assert np.mean(covered) > 0.94


def test_influences_are_those_of_leaving_records_out() -> None:
    """Each metric's influence beside the jackknife's: n - 1 times what leaving the record out takes away."""
    victim, stolen, labels = made_up(n=60)
    measured = measure(evidence(victim, stolen, labels))
    without = []
    for left in range(60):
        kept = torch.arange(60) != left
        without.append(measure(evidence(victim[kept], stolen[kept], labels[kept])).metrics)
    for name in ("fidelity_kappa", "fidelity", "correct_fidelity", "agreement_and_correct", "stolen_test_accuracy"):
        values = np.array([metrics[name] for metrics in without])
        jackknife = 59 * (values.mean() - values)
        kept, expected = measured.influences[name], Influence(np.arange(60), jackknife).blocks()
        assert (kept.digest, kept.records) == (expected.digest, expected.records)
        assert kept.sums == pytest.approx(expected.sums, abs=0.003)


def test_kappas_influence_has_its_standard_error() -> None:
    victim, stolen, _ = made_up()
    found = of_cells(np.arange(400), victim * 3 + stolen, partial(kappa_of_shares, 3), 9)
    kappa, low, high = kappa_interval(victim, stolen, 3)
    assert kappa_of_shares(3, confusion(victim, stolen, 3).numpy().ravel() / 400) == pytest.approx(kappa)
    assert found.error == pytest.approx((high - low) / 2 / 1.959964, rel=0.002)


def test_a_theft_that_yields_nothing_or_all_is_said_to_be() -> None:
    victim, stolen, labels = made_up()
    assert measure(evidence(victim, stolen, labels)).warnings == []
    nothing = measure(evidence(victim, labels, labels, independent_answers=stolen)).warnings
    assert len(nothing) == 1
    assert "the answers gave the thief nothing" in nothing[0]
    curve = {"curve": {"50": labels}, "independent_curve": {"50": stolen}}
    (at_50,) = measure(evidence(victim, stolen, labels, **curve)).warnings
    assert at_50.startswith("undefended, 50 queries: the stolen model agrees with the victim no more than")
    (full,) = measure(evidence(victim, victim, labels)).warnings
    assert "near its ceiling of 1" in full


def test_what_hiding_costs_stands_beside_what_the_mark_keeps() -> None:
    accuracies = {"exact_copy": np.array([0.8]), "fine_tuned": np.array([0.8, 0.7])}
    scored = judged(score_metric="watermark_accuracy", trials=100)
    measured = measure(evidence(*made_up(), verifications=(scored,), suspect_accuracies=accuracies))
    assert measured.metrics["fine_tuned.suspect_accuracy"] == pytest.approx(0.75)
    assert measured.metrics["fine_tuned.watermark_accuracy"] == pytest.approx(1 - (1e-4 + 0.2 + 0.01 + 0.5) / 4)
    assert measured.metrics["fine_tuned.ownership_fnr"] == 0.5


def test_a_claim_that_anybody_could_make_up_is_warned_of() -> None:
    quiet = {**judged().p_values, "independent": np.full(100, 0.5)}
    (warning,) = _warnings_of(p_values=quiet, false_claim=9e-5)
    assert "claims this model at p = 9e-05 by watermarking" in warning
    assert _warnings_of(p_values=quiet, false_claim=0.3) == []


def test_two_ownership_defences_carry_their_names() -> None:
    both = (judged(), judged(defense="datasetinference", alpha=0.5))
    measured = measure(evidence(*made_up(), verifications=both))
    assert measured.metrics["watermarknn.ownership_fpr"] == pytest.approx(0.1)
    assert measured.metrics["datasetinference.ownership_fpr"] == pytest.approx(0.6)
    assert "ownership_fpr" not in measured.metrics


def _warnings_of(**more: object) -> list[str]:
    return measure(evidence(*made_up(), verifications=(judged(**more),))).warnings


def test_rates_that_few_suspects_cannot_resolve_are_said_to_be() -> None:
    quiet = {**judged().p_values, "independent": np.full(10, 0.5)}
    assert any("raise attack.independents to 100" in w for w in _warnings_of(p_values=quiet))
    assert _warnings_of(p_values={**quiet, "independent": np.full(100, 0.5)}) == []


def test_a_verification_that_misses_its_own_model_is_flagged() -> None:
    missed = {**judged().p_values, "exact_copy": np.array([0.4])}
    assert any("does not recognise an exact copy" in w for w in _warnings_of(p_values=missed))
    # Of a model that carries no mark nothing else is to be expected.
    assert not any("does not recognise" in w for w in _warnings_of(p_values=missed, applied=False))


def test_a_verification_that_accuses_the_innocent_is_flagged() -> None:
    accusing = {**judged().p_values, "independent": np.array([0.001] * 4 + [0.5] * 6)}
    assert any("accuses the innocent" in w for w in _warnings_of(p_values=accusing))


def test_arrays_of_the_evidence_keep_every_verdict() -> None:
    arrays = evidence(*made_up(), verifications=(judged(details={"y": np.arange(3)}),)).arrays()
    assert arrays["watermarknn.p_values.stolen"].tolist() == [0.3, 0.9, 0.02, 0.6]
    assert arrays["watermarknn.details.y"].tolist() == [0, 1, 2]
    assert len(arrays["ids"]) == len(arrays["stolen_answers"]) == 400
