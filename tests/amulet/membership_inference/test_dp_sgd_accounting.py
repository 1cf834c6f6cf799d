"""The noise and the epsilon of DP-SGD, against opacus' own steps, dp-accounting and closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amulet.core import SettingError
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
    pld = dp_accounting.pld.PLDAccountant().compose(event).get_epsilon(DELTA)
    # PRV's figure is an upper bound, with an error of at most 0.01 on either side.
    assert pld * 0.99 - 0.01 <= spent(noise, DELTA, RATE, STEPS, "prv") <= pld * 1.01 + 0.02


@pytest.mark.parametrize("target", [1.0, 3.0, 8.0])
def test_the_noise_found_spends_the_budget_and_no_more(target: float) -> None:
    noise = noise_for(target, DELTA, RATE, STEPS, "rdp")
    assert 0.998 * target <= spent(noise, DELTA, RATE, STEPS, "rdp") <= target


def test_prv_needs_less_noise() -> None:
    noise = noise_for(1.0, DELTA, RATE, STEPS, "prv")
    assert noise < noise_for(1.0, DELTA, RATE, STEPS, "rdp")
    assert 0.98 <= spent(noise, DELTA, RATE, STEPS, "prv") <= 1.0


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
    # Above its limit PRV would need gigabytes; RDP's bound is given instead.
    assert spent(0.3, DELTA, RATE, STEPS, "prv") == spent(0.3, DELTA, RATE, STEPS, "rdp")


@pytest.mark.parametrize(
    ("epsilon", "accountant", "says"), [(0.01, "rdp", "out of reach"), (50.0, "prv", "at most 20")]
)
def test_unreachable_targets_are_refused(epsilon: float, accountant: str, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        noise_for(epsilon, DELTA, RATE, STEPS, accountant)  # type: ignore[arg-type]
