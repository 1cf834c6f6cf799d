"""How closely a stolen model agrees with the victim."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.intervals import clopper_pearson
from amulet.datasets.records import Records
from amulet.models.inspect import predict


def fidelity(victim: Tensor, stolen: Tensor) -> float:
    """Share of records on which both give the same class, in [0, 1]; higher is worse for the victim.

    The mean of 1[f(x) = g(x)] over answers (n,) each (Jagielski et al., USENIX Security 2020; paper, Section 4.1).

    >>> fidelity(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0]))
    0.75
    """
    return _share(victim == stolen)


def correct_fidelity(victim: Tensor, stolen: Tensor, labels: Tensor) -> float:
    """Share of correct answers among those on which both agree, in [0, 1]; NaN if they never do.

    P(f(x) = y | f(x) = g(x)): what the paper's text defines and its Tables 4 and 7 show as Fid_corr.
    """
    agree = victim == stolen
    return _share(victim[agree] == labels[agree])


def agreement_and_correct(victim: Tensor, stolen: Tensor, labels: Tensor) -> float:
    """Share of records on which both agree and are correct, in [0, 1]; higher is worse for the victim.

    P(f(x) = g(x) = y): what the paper's Table 8 shows under the name of Fid_corr.
    """
    return _share((victim == stolen) & (victim == labels))


def _share(hits: Tensor) -> float:
    return hits.double().mean().item()  # NaN for none


def confusion(victim: Tensor, stolen: Tensor, classes: int) -> Tensor:
    """How often the victim answered i and the stolen model j, (classes, classes) int64."""
    return (victim * classes + stolen).bincount(minlength=classes**2).reshape(classes, classes)


def fidelity_kappa(victim: Tensor, stolen: Tensor, classes: int) -> float:
    """Agreement beyond chance, at most 1; 0 for two unrelated models.

    Cohen's kappa (Cohen, 1960): (p_o - p_e) / (1 - p_e), with p_o the fidelity and p_e the agreement by chance, from
    the shares of each class in the answers of each. NaN if both always give the same class: then p_e is 1.

    >>> fidelity_kappa(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 0]), classes=2)
    0.5
    """
    return kappa_interval(victim, stolen, classes)[0]


def kappa_interval(victim: Tensor, stolen: Tensor, classes: int) -> tuple[float, float, float]:
    """Kappa and its 95 % interval by the large-sample standard error (Fleiss, Cohen and Everitt, 1969, eq. 13).

    If they agree on every record this error is 0; the interval is then derived from Clopper and Pearson's for p_o.
    """
    counts = confusion(victim, stolen, classes).double()
    p = counts / len(victim)
    mine, theirs = p.sum(dim=1), p.sum(dim=0)
    observed, chance = counts.diagonal().sum().item() / len(victim), (mine @ theirs).item()
    if 1 - chance < 1e-12:
        return math.nan, math.nan, math.nan
    kappa = (observed - chance) / (1 - chance)
    if observed == 1:
        return 1.0, (clopper_pearson(len(victim), len(victim))[0] - chance) / (1 - chance), 1.0
    both = mine.unsqueeze(0) + theirs.unsqueeze(1)  # [i, j]: share of j in the rows, of i in the columns
    weight = p * (1 - observed) ** 2 * both.square()
    weight.fill_diagonal_(0)
    agreeing = p.diagonal() * ((1 - chance) - (mine + theirs) * (1 - observed)).square()
    spread = agreeing.sum().item() + weight.sum().item() - (observed * chance - 2 * chance + observed) ** 2
    error = math.sqrt(max(spread, 0.0) / len(victim)) / (1 - chance) ** 2
    return kappa, kappa - 1.959964 * error, min(kappa + 1.959964 * error, 1.0)


def kappa_of_shares(classes: int, shares: NDArray[np.float64]) -> float:
    """Kappa from the shares (classes * classes,) of each pair of answers, the victim's varying slowest.

    >>> kappa_of_shares(2, np.array([0.5, 0.0, 0.25, 0.25]))
    0.5
    """
    p = shares.reshape(classes, classes)
    chance = p.sum(axis=1) @ p.sum(axis=0)
    return float((p.trace() - chance) / (1 - chance))


def evaluate_extraction(
    target_model: nn.Module,
    attack_model: nn.Module,
    test_loader: DataLoader[Any] | Records,
    device: str | torch.device = "cpu",
) -> dict[str, float]:
    """How closely `attack_model` agrees with `target_model` on the records of a loader (paper, Figure 1).

    Returns:
        `target_test_accuracy`, `stolen_test_accuracy`, `fidelity`, `correct_fidelity`, `agreement_and_correct` and
        `fidelity_kappa`, as fractions.
    """
    records = Records.from_loader(test_loader)
    labels = records.y.cpu()
    logits = predict(target_model.to(device), records)
    victim, stolen = logits.argmax(dim=1), predict(attack_model.to(device), records).argmax(dim=1)
    return {
        "target_test_accuracy": _share(victim == labels),
        "stolen_test_accuracy": _share(stolen == labels),
        "fidelity": fidelity(victim, stolen),
        "correct_fidelity": correct_fidelity(victim, stolen, labels),
        "agreement_and_correct": agreement_and_correct(victim, stolen, labels),
        "fidelity_kappa": fidelity_kappa(victim, stolen, logits.shape[1]),
    }
