"""The one-run audit: its bound against brute force and simulation, and its game."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest

from amulet.core import SettingError
from amulet.membership_inference import DPSGD, CanaryAudit, PopulationAttack, protocol
from amulet.membership_inference.metrics import Audit, chance_of, least_epsilon
from tests.helpers.membership_toys import made_splits, memorising, toy, victim


@pytest.mark.parametrize(("right", "epsilon"), [(3, 0.0), (6, 0.5), (8, 2.0), (0, 1.0)])
def test_without_delta_the_chance_is_that_of_randomised_response(right: int, epsilon: float) -> None:
    p = 1 / (1 + math.exp(-epsilon))
    every = itertools.product((0, 1), repeat=8)
    expected = sum(math.prod(p if hit else 1 - p for hit in hits) for hits in every if sum(hits) >= right)
    assert chance_of(Audit(canaries=8, guesses=8, right=right, delta=0.0), epsilon) == pytest.approx(expected)


@pytest.mark.parametrize(("right", "epsilon", "delta"), [(12, 0.3, 1e-3), (20, 1.0, 1e-4), (5, 0.0, 0.01)])
def test_delta_adds_what_the_theorem_says(right: int, epsilon: float, delta: float) -> None:
    m, r, p = 60, 20, 1 / (1 + math.exp(-epsilon))
    mass = [float(binom.pmf(k, r, p)) for k in range(r + 1)]
    most = max(sum(mass[right - i : right]) / i for i in range(1, right + 1))
    expected = min(1.0, sum(mass[right:]) + 2 * m * delta * most)
    assert chance_of(Audit(canaries=m, guesses=r, right=right, delta=delta), epsilon) == pytest.approx(expected)


def test_the_bound_is_the_logit_of_the_exact_interval_of_the_share() -> None:
    for right in (110, 150, 199):
        low = binomtest(right, 200, alternative="greater").proportion_ci(0.95).low
        found = least_epsilon(Audit(canaries=1000, guesses=200, right=right, delta=0.0))
        assert found == pytest.approx(max(0.0, math.log(low / (1 - low))), abs=1e-6)
        assert least_epsilon(Audit(canaries=1000, guesses=200, right=right, delta=1e-5)) <= found
    assert least_epsilon(Audit(canaries=1000, guesses=200, right=90, delta=0.0)) == 0.0


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_randomised_response_is_seldom_said_to_reveal_more_than_it_does(epsilon: float) -> None:
    p = 1 / (1 + math.exp(-epsilon))
    right = np.random.default_rng(0).binomial(200, p, 2000)
    over = [least_epsilon(Audit(canaries=200, guesses=200, right=int(v), delta=0.0)) > epsilon for v in set(right)]
    share = np.isin(right, [v for v, too_much in zip(set(right), over, strict=True) if too_much]).mean()
    assert share < 0.065


def test_canaries_are_wrong_and_in_or_out_by_the_toss_of_a_coin() -> None:
    recipe = memorising(epochs=1)
    here = made_splits(recipe, n=400)
    drawn = CanaryAudit(canaries=100).candidates(victim(recipe, here), here)
    truth = dict(zip(here.victim_records.ids.tolist(), here.victim_records.y.tolist(), strict=True))
    assert all(truth[i] != y for i, y in zip(drawn.pool.ids.tolist(), drawn.pool.y.tolist(), strict=True))
    assert 25 < int(drawn.members.sum()) < 75
    assert drawn.others is not None
    assert len(drawn.others) == 100
    assert not torch.isin(drawn.others.ids, drawn.pool.ids).any()
    assert len(drawn.training) == 100 + int(drawn.members.sum())
    again = CanaryAudit(canaries=100).candidates(victim(recipe, here), here)
    assert again.pool.digest == drawn.pool.digest
    assert torch.equal(again.members, drawn.members)


def test_a_model_that_memorises_its_canaries_is_found_out() -> None:
    recipe = memorising()
    here = made_splits(recipe, n=400)
    evidence = protocol.assess(victim(recipe, here), CanaryAudit(canaries=100, guesses=60), here)
    assert evidence.audit is not None
    assert (evidence.audit.canaries, evidence.audit.guesses) == (100, 60)
    measured = protocol.measure(evidence)
    assert measured.metrics["epsilon_lower_bound"] == least_epsilon(evidence.audit) > 1
    assert "epsilon" not in measured.metrics
    best = np.argsort(-evidence.scores["canaries"], kind="stable")
    right = evidence.members[best[:30]].sum() + (~evidence.members[best[-30:]]).sum()
    assert evidence.audit.right == right


def test_a_private_model_is_audited_beside_its_epsilon() -> None:
    recipe = memorising(epochs=1).changed(defenses=(DPSGD(epsilon=8.0),))
    here = made_splits(recipe, n=400)
    evidence = protocol.assess(victim(recipe, here), PopulationAttack(), here)
    measured = protocol.measure(evidence)
    assert measured.metrics["epsilon_lower_bound"] <= measured.metrics["epsilon"] <= 8.0
    assert evidence.manifest["audit"] == {"canaries": 50, "guesses": 10} | {
        key: evidence.manifest["audit"][key] for key in ("right", "delta")
    }
    too_much = evidence.changed(epsilon=1.0, audit=Audit(canaries=200, guesses=200, right=160, delta=0.0))
    (warning,) = [text for text in protocol.measure(too_much).warnings if "canaries are right" in text]
    assert "an epsilon of at least 1.09 with 95 % confidence, and 1 is promised" in warning
    with pytest.raises(RuntimeError, match="has a bug"):
        protocol.measure(evidence.changed(epsilon=1.0, audit=Audit(canaries=200, guesses=200, right=199, delta=0.0)))


def test_settings_that_leave_nothing_to_guess_are_named() -> None:
    with pytest.raises(SettingError, match="`guesses` must be even and at most the 100 canaries, got 102"):
        CanaryAudit(canaries=100, guesses=102)
    with pytest.raises(SettingError, match=r"`attack.canaries` must be at most half of the 120 training records"):
        protocol.check(CanaryAudit(canaries=100), (), toy())
