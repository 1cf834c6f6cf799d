"""The privacy of noisy updates on Poisson samples, from opacus' accountants."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

from amulet.core.errors import SettingError

Accountant = Literal["rdp", "prv"]

PRV_LIMIT = 20.0
"""The largest epsilon for the PRV accountant: its grids grow with epsilon, to gigabytes at 100."""


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress opacus' warnings about orders at the edge of its range and about overflows; the bounds hold."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the", UserWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"opacus\.accountants")
        yield


def noise_for(
    epsilon: float, delta: float, sampling_rate: float, steps: int, accountant: Accountant, updates: int = 1
) -> float:
    """The smallest noise multiplier found that keeps `steps` Poisson samples within (`epsilon`, `delta`).

    Args:
        epsilon: the target; what is spent is at most that, and less by at most 0.1 % (rdp) or 0.01 (prv).
        delta: the probability, (0, 1), that the bound fails.
        sampling_rate: the probability that a record is in a sample, (0, 1].
        steps: the number of samples.
        accountant: `rdp` (Mironov, Talwar and Zhang, 2019) or `prv` (Gopi, Lee and Wutschitz, NeurIPS 2021), which
            is tighter and slower.
        updates: noisy updates on each sample, see `spent`.

    Raises:
        SettingError: the accountant cannot reach the target.

    >>> 0.9 < noise_for(8.0, 1e-5, 0.1, 200, "rdp") < 1.3
    True
    """
    return _noise_for(epsilon, delta, sampling_rate, steps, accountant) * updates**0.5


@cache  # shadow models need the same value many times
def _noise_for(epsilon: float, delta: float, sampling_rate: float, steps: int, accountant: Accountant) -> float:
    from opacus.accountants.utils import get_noise_multiplier

    if accountant == "prv" and epsilon > PRV_LIMIT:
        raise SettingError(f"`epsilon` must be at most {PRV_LIMIT:g} with accountant=prv, got {epsilon:g}; take rdp")
    try:
        with _quietly():
            found = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sampling_rate,
                steps=steps,
                accountant=accountant,
                epsilon_tolerance=0.001 * epsilon if accountant == "rdp" else min(0.01, 0.1 * epsilon),
            )
    except ValueError as error:
        raise SettingError(
            f"`epsilon` of {epsilon:g} at delta {delta:.2g} is out of reach of accountant={accountant}, whatever the "
            f"noise; raise `epsilon`{' or take accountant=prv' if accountant == 'rdp' else ''}"
        ) from error
    return float(found)


def spent(
    noise_multiplier: float, delta: float, sampling_rate: float, steps: int, accountant: Accountant, updates: int = 1
) -> float:
    """The epsilon of `steps` Poisson samples with Gaussian noise; infinite without noise, 0 without steps.

    Several noisy updates on one sample together release as much as one update with the noise divided by the square root
    of their number: the sample is drawn once, so sampling amplifies the privacy of their composition, not of each.

    Args:
        noise_multiplier: standard deviation of the noise in units of the clipping norm.
        delta, sampling_rate, steps, accountant, updates: as for `noise_for`. Where RDP bounds epsilon above
            `PRV_LIMIT`, that bound is given instead of PRV's.
    """
    from opacus.accountants import create_accountant

    if not steps:
        return 0.0
    if not noise_multiplier:
        return float("inf")
    found = float("inf")
    for mechanism in ("rdp", "prv") if accountant == "prv" else ("rdp",):
        if mechanism == "prv" and found > PRV_LIMIT:
            break
        ledger = create_accountant(mechanism)
        ledger.history = [(noise_multiplier / updates**0.5, sampling_rate, steps)]
        with _quietly():
            found = float(ledger.get_epsilon(delta))
    return found
