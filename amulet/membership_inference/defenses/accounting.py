"""The privacy of noisy updates on Poisson samples, from opacus' accountants."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Literal

from amulet.core.errors import SettingError

Accountant = Literal["prv", "rdp"]

PRV_LIMIT = 20.0
"""The largest epsilon for the PRV accountant: its grids grow with epsilon, to gigabytes at 100."""
_ERROR = 0.01  # of PRV's grid: at most this, and this share of epsilon
_LEAST_ERROR = 5e-4
_MOST_NOISE = 2.0**20
_BEYOND = 1.5  # times the limit: what RDP bounds by that is below the limit


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
        epsilon: the target; what is spent is at most that, and less by at most 0.1 % (rdp) or 1 % (prv).
        delta: the probability, (0, 1), that the bound fails.
        sampling_rate: the probability that a record is in a sample, (0, 1].
        steps: the number of samples.
        accountant: `prv` (Gopi, Lee and Wutschitz, NeurIPS 2021), or `rdp` (Mironov, Talwar and Zhang, 2019), which
            needs 5 to 10 % more noise at epsilon 0.5 to 8, half as much again at 0.1, and less time. Above
            `PRV_LIMIT` it is `rdp` in any case.
        updates: noisy updates on each sample, see `spent`.

    Raises:
        SettingError: the accountant cannot reach the target.

    >>> 0.9 < noise_for(8.0, 1e-5, 0.1, 200, "rdp") < 1.3
    True
    """
    mechanism: Accountant = "rdp" if epsilon > PRV_LIMIT else accountant
    return _noise_for(epsilon, delta, sampling_rate, steps, mechanism) * updates**0.5


@cache  # shadow models need the same value many times
def _noise_for(epsilon: float, delta: float, sampling_rate: float, steps: int, accountant: Accountant) -> float:
    """Between a noise that spends too much and one that does not, along the line through both on logarithmic axes."""
    close = 0.99 if accountant == "prv" else 0.999

    def spends(noise: float) -> float:
        return _epsilon(noise, delta, sampling_rate, steps, accountant)

    enough = 1.0
    if accountant == "prv":  # its evaluations take longer: begin where RDP ends
        with suppress(SettingError):
            enough = _noise_for(epsilon, delta, sampling_rate, steps, "rdp")
    while (least := spends(enough)) > epsilon:
        enough *= 2
        if enough > _MOST_NOISE:
            raise SettingError(
                f"`epsilon` of {epsilon:g} at delta {delta:.2g} is out of reach of accountant={accountant}, whatever "
                f"the noise; raise `epsilon`{' or take accountant=prv' if accountant == 'rdp' else ''}"
            )
    little, most = enough, least
    while most <= epsilon:
        enough, least = little, most
        little *= 0.8
        most = spends(little)
    while least < close * epsilon and little < 0.9999 * enough:
        share = 0.5
        if math.isfinite(most) and least > 0:
            share = min(max(math.log(close**0.5 * epsilon / least) / math.log(most / least), 0.05), 0.95)
        noise = enough * (little / enough) ** share
        found = spends(noise)
        if found <= epsilon:
            enough, least = noise, found
        else:
            little, most = noise, found
    return enough


def spent(
    noise_multiplier: float, delta: float, sampling_rate: float, steps: int, accountant: Accountant, updates: int = 1
) -> float:
    """The epsilon of `steps` Poisson samples with Gaussian noise; infinite without noise, 0 without steps.

    Several noisy updates on one sample together release as much as one update with the noise divided by the square root
    of their number: the sample is drawn once, so sampling amplifies the privacy of their composition, not of each.

    Args:
        noise_multiplier: standard deviation of the noise in units of the clipping norm.
        delta, sampling_rate, steps, accountant, updates: as for `noise_for`. RDP's bound is given instead of
            PRV's where it is the smaller one, or far above `PRV_LIMIT`.
    """
    if not steps:
        return 0.0
    if not noise_multiplier:
        return float("inf")
    return _epsilon(noise_multiplier / updates**0.5, delta, sampling_rate, steps, accountant)


@cache
def _epsilon(noise: float, delta: float, sampling_rate: float, steps: int, accountant: Accountant) -> float:
    from opacus.accountants import create_accountant

    history = [(noise, sampling_rate, steps)]
    ledger = create_accountant("rdp")
    ledger.history = history
    with _quietly():
        found = float(ledger.get_epsilon(delta))
        if accountant == "prv" and found <= _BEYOND * PRV_LIMIT:
            ledger = create_accountant("prv")
            ledger.history = history
            error = min(_ERROR, max(_ERROR * found, _LEAST_ERROR))
            found = min(found, float(ledger.get_epsilon(delta, eps_error=error)))
    return found
