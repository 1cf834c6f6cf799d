"""The noise and the epsilon of DP-SGD, against opacus' own steps, dp-accounting and closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amulet.core import SettingError
from amulet.membership_inference.defenses import DPSGD
from amulet.membership_inference.defenses.accounting import noise_for, spent

N, RATE, STEPS = 11_611, 1024 / 11_611, 220
DELTA = N**-1.1


@pytest.mark.parametrize("noise", [0.9, 2.0, 5.0])
def test_epsilon_is_that_of_opacus_step_by_step(noise: float) -> None:
    from opacus.accountants import RDPAccountant

    ledger = RDPAccountant()
    for _ in range(STEPS):
        ledger.step(noise_multiplier=noise, sample_rate=RATE)
    assert spent(noise, DELTA, RATE, STEPS, "rdp") == pytest.approx(ledger.get_epsilon(DELTA), rel=1e-9)


@pytest.mark.parametrize("noise", [0.9, 2.0, 5.0])
def test_epsilon_is_that_of_dp_accounting(noise: float) -> None:
    dp_accounting = pytest.importorskip("dp_accounting", reason="dp-accounting, an independent accountant, is not here")
    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(RATE, dp_accounting.GaussianDpEvent(noise)), STEPS
    )
    orders = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))  # opacus' own
    rdp = dp_accounting.rdp.RdpAccountant(orders).compose(event).get_epsilon(DELTA)
    assert spent(noise, DELTA, RATE, STEPS, "rdp") == pytest.approx(rdp, rel=0.01)


@pytest.mark.parametrize(("target", "rdp_wastes"), [(0.1, 0.5), (1.0, 0.05), (3.0, 0.05)])
def test_prv_finds_the_noise_that_another_accountant_needs(target: float, rdp_wastes: float) -> None:
    """Privacy loss distributions: never more than the budget, at most 3 % less; RDP needs clearly more noise."""
    dp_accounting = pytest.importorskip("dp_accounting", reason="dp-accounting, an independent accountant, is not here")
    noise = noise_for(target, DELTA, RATE, STEPS, "prv")
    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(RATE, dp_accounting.GaussianDpEvent(noise)), STEPS
    )
    pld = dp_accounting.pld.PLDAccountant().compose(event).get_epsilon(DELTA)
    assert 0.97 * target < pld <= target
    reported = spent(noise, DELTA, RATE, STEPS, "prv")
    assert 0.99 * target <= reported <= target
    assert 0 <= reported - pld <= 0.02 * target
    assert noise_for(target, DELTA, RATE, STEPS, "rdp") > (1 + rdp_wastes) * noise


@pytest.mark.parametrize("target", [1.0, 3.0, 8.0])
def test_the_noise_found_spends_the_budget_and_no_more(target: float) -> None:
    noise = noise_for(target, DELTA, RATE, STEPS, "rdp")
    assert 0.998 * target <= spent(noise, DELTA, RATE, STEPS, "rdp") <= target


def test_prv_reaches_what_rdp_cannot_and_gives_way_to_it_above_its_limit() -> None:
    with pytest.raises(SettingError, match="out of reach of accountant=rdp"):
        noise_for(0.2, 1e-8, 0.02, 4, "rdp")
    noise = noise_for(0.2, 1e-8, 0.02, 4, "prv")
    assert 0.198 <= spent(noise, 1e-8, 0.02, 4, "prv") <= 0.2
    assert noise_for(50.0, 1e-5, 0.1, 10, "prv") == noise_for(50.0, 1e-5, 0.1, 10, "rdp")
    assert DPSGD().accountant == "prv"


@pytest.mark.parametrize("updates", [2, 3])
def test_updates_on_one_sample_compose_as_gaussians(updates: int) -> None:
    """Without subsampling, k updates on each of n samples are n k steps; with it they cost more than n k samples."""
    together = spent(20.0, DELTA, 1.0, 50, "rdp", updates)
    assert together == pytest.approx(spent(20.0, DELTA, 1.0, 50 * updates, "rdp"), rel=1e-6)
    assert spent(2.0, DELTA, RATE, 50, "rdp", updates) > spent(2.0, DELTA, RATE, 50 * updates, "rdp")


def test_noise_for_several_updates_spends_the_budget() -> None:
    noise = noise_for(3.0, DELTA, RATE, STEPS, "rdp", 2)
    assert noise == pytest.approx(math.sqrt(2) * noise_for(3.0, DELTA, RATE, STEPS, "rdp"))
    assert 2.99 <= spent(noise, DELTA, RATE, STEPS, "rdp", 2) <= 3.0


@given(noise=st.floats(0.6, 10), steps=st.integers(1, 300))
def test_more_noise_and_fewer_steps_spend_less(noise: float, steps: int) -> None:
    here = spent(noise, DELTA, RATE, steps, "rdp")
    assert spent(noise * 1.1, DELTA, RATE, steps, "rdp") <= here <= spent(noise, DELTA, RATE, steps + 1, "rdp")


def test_edges() -> None:
    assert spent(1.0, DELTA, RATE, 0, "rdp") == 0
    assert spent(0.0, DELTA, RATE, 1, "rdp") == math.inf
    # Far above its limit PRV would need gigabytes; RDP's bound is given instead.
    assert spent(0.3, DELTA, RATE, STEPS, "prv") == spent(0.3, DELTA, RATE, STEPS, "rdp")
