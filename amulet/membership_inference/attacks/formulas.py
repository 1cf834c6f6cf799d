"""Membership scores from signals, as published; higher: more likely a member. All records at once."""

from typing import Literal

import numpy as np

from amulet.membership_inference.attacks.signals import log_confidence

Variance = Literal["shrunk", "pooled", "per_example"]

_LEAST_VARIANCE = 1e-12  # no division by zero if the shadow models agree exactly


def gaussians(signals: np.ndarray, variance: Variance) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each record's signals over models, (n,) each.

    Args:
        signals: (models, n), two models and two records at least.
        variance: `per_example`: each record's own; `pooled`: the mean of these over the records, which does not
            include the spread *between* records (Carlini et al.'s "fixed variance"); `shrunk`: each
            record's own, moved towards a common one as far as the records are similar (`shrink`).
    """
    spread = signals.var(axis=0)
    if variance == "pooled":
        spread = np.full_like(spread, spread.mean())
    spread = np.maximum(spread, _LEAST_VARIANCE)
    if variance == "shrunk":
        spread = shrink(spread, len(signals) - 1)
    return signals.mean(axis=0), np.sqrt(spread)


def shrink(variances: np.ndarray, degrees: int) -> np.ndarray:
    """Each variance's posterior mean under a scaled inverse chi-squared prior fitted to all of them, (n,).

    (d0 s0 + d s) / (d0 + d) for a variance s estimated with d degrees of freedom; the prior's d0 and s0 follow from
    the mean and the variance of the logarithms (Smyth, Stat. Appl. Genet. Mol. Biol. 3(1), 2004). Where the variances
    differ no more than by chance, d0 is infinite and all become the same.
    """
    from scipy.special import digamma, polygamma

    logs = np.log(variances) - digamma(degrees / 2) + np.log(degrees / 2)
    beyond_chance = float(logs.var(ddof=1)) - float(polygamma(1, degrees / 2))
    if beyond_chance <= 0:
        return np.full_like(variances, np.exp(logs.mean()))
    prior = 2 * _inverse_trigamma(beyond_chance)
    common = np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2))
    return (prior * common + degrees * variances) / (prior + degrees)


def _inverse_trigamma(value: float) -> float:
    """The x with trigamma(x) = value > 0, by Newton's method on 1 / trigamma (ibid.)."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def lira_online(target: np.ndarray, within: np.ndarray, without: np.ndarray, variance: Variance) -> np.ndarray:
    """Log of the likelihood ratio of the two Gaussians, (n,) (Carlini et al., S&P 2022, Algorithm 1).

    Args:
        target: (n,) signals of the attacked model.
        within: (k, n) signals of shadow models trained on the record.
        without: (k, n) signals of shadow models not trained on it.
    """
    mean_in, std_in = gaussians(within, variance)
    mean_out, std_out = gaussians(without, variance)
    distance_in, distance_out = (target - mean_in) / std_in, (target - mean_out) / std_out
    return np.log(std_out / std_in) + (distance_out**2 - distance_in**2) / 2


def lira_offline(
    target: np.ndarray, without: np.ndarray, variance: Variance, form: Literal["tail", "density"]
) -> np.ndarray:
    """How far the signal is above those of models without the record, (n,) (Carlini et al.'s offline attack).

    `tail`: -log P[Z > signal], the one-sided test of the paper. `density`: the negative log density, as in the
    published code; it also takes unusually *low* signals for those of members.
    """
    from scipy.special import log_ndtr

    mean, std = gaussians(without, variance)
    distance = (target - mean) / std
    if form == "tail":
        return -log_ndtr(-distance)
    return distance**2 / 2 + np.log(std) + np.log(2 * np.pi) / 2


def rmia(
    target: np.ndarray,
    shadows: np.ndarray,
    population_target: np.ndarray,
    population_shadows: np.ndarray,
    gamma: float,
    offline_a: float | None,
) -> np.ndarray:
    """Share of the population whose likelihood ratio the record's exceeds by a factor, (n,) in [0, 1].

    P_z[(p(x | target) / p(x)) / (p(z | target) / p(z)) >= gamma] with p(x) the mean of p(x | shadow)
    (Zarifzadeh et al., ICML 2024).

    Args:
        target: (n,) signals of the attacked model.
        shadows: (k, n) signals of the models over which p(x) is the mean: online all, offline those without x.
        population_target: (z,) signals of the attacked model.
        population_shadows: (k, z) signals of the shadow models, none of them trained on z.
        offline_a: None: online. Else p(x) = ((1 + a) p_out(x) + 1 - a) / 2, and the same for z.
    """
    ratio = base(target, shadows, offline_a)
    others = np.sort(base(population_target, population_shadows, offline_a))
    return np.searchsorted(others, ratio - np.log(gamma), side="right") / len(others)


def base(target: np.ndarray, shadows: np.ndarray, offline_a: float | None) -> np.ndarray:
    """log p(x | target) - log mean p(x | shadow), (n,): the Bayes-optimal rule with sampled models.

    BASE (Lassila et al., NeurIPS 2025), after Sablayrolles et al., ICML 2019. Its order is that of RMIA with as large a
    population as one likes, so it has none of RMIA's ties. Arguments as there.
    """
    return log_confidence(target) - _log_mean_confidence(shadows, offline_a)


def _log_mean_confidence(signals: np.ndarray, offline_a: float | None) -> np.ndarray:
    confidence, doubt = np.exp(log_confidence(signals)).mean(axis=0), np.exp(log_confidence(-signals)).mean(axis=0)
    if offline_a is not None:
        confidence = ((1 + offline_a) * confidence + 1 - offline_a) / 2
        doubt = (1 + offline_a) * doubt / 2
    with np.errstate(divide="ignore"):
        # Where p is close to 1 the digits are in 1 - p.
        return np.where(doubt < 0.5, np.log1p(-doubt), np.log(confidence))
