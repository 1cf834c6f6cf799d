"""From distances to boundaries to a membership score, and from scores to a p-value."""

import math

import torch
from torch import Tensor

from amulet.unauth_model_ownership.defenses.boundary import Distances

_SHRINKAGE = 0.1


def welch_p_value(private: Tensor, public: Tensor) -> float:
    """How likely means (n,) and (m,) of one population differ so far upwards: Welch's one-sided t-test, in [0, 1].

    The alternative: the mean of `private` exceeds that of `public`. 1 if neither varies: there is no evidence.

    >>> round(welch_p_value(torch.tensor([2.0, 3.0, 4.0]), torch.tensor([0.0, 1.0, 2.0])), 3)
    0.035
    """
    from scipy.special import stdtr

    spreads = [values.double().var().item() / len(values) for values in (private, public)]
    total = sum(spreads)
    if not total > 0:
        return 1.0
    t = (private.double().mean() - public.double().mean()).item() / math.sqrt(total)
    freedom = total**2 / sum(s**2 / (len(v) - 1) for s, v in zip(spreads, (private, public), strict=True))
    return float(stdtr(freedom, -t))


def embedding(distances: Distances, labels: Tensor | None = None) -> Tensor:
    """Feature rows (n, f) float64 of distances (n, 3, k) along k paths: row i depends only on record i.

    The logarithm of 1 + distance in units of the first step, and for every path whether it reached the boundary: a
    search that did not change the answer counts as such, with the length of all steps instead of the distance. If
    paths lead to classes, the path to the record's label (0 for a correct answer) and the shortest one to another
    class are added: members are distinguished by how well *their* labels were learned.

    Args:
        labels: (n,) in [0, k) if path j leads to class j; None if paths lead to no class.
    """
    missing = distances.values.isnan()
    values = torch.where(missing, distances.reach.view(1, -1, 1), distances.values)
    far = (values / distances.unit.view(1, -1, 1)).double().log1p()
    parts = [far, missing.double()]
    if labels is not None:
        own = labels.view(-1, 1, 1).expand(-1, far.shape[1], 1)
        parts += [far.gather(2, own), far.scatter(2, own, torch.inf).amin(dim=2, keepdim=True)]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


class ConfidenceRegressor:
    """A linear membership score: +1 for private records, -1 for public ones, by ridge regression in closed form.

    Features are standardised on the records it is fitted to; those that are constant there are left out.
    """

    def __init__(self, private: Tensor, public: Tensor) -> None:
        rows = torch.cat([private, public])
        self.centre, spread = rows.mean(dim=0), rows.std(dim=0)
        self.scale = torch.where(spread > 1e-9, 1 / spread.clamp_min(1e-9), 0.0)
        z = (rows - self.centre) * self.scale
        goal = torch.cat([torch.ones(len(private)), -torch.ones(len(public))]).to(z)
        self.offset = goal.mean()
        shrunk = z.T @ z + _SHRINKAGE * len(z) * torch.eye(z.shape[1], dtype=z.dtype)
        self.weights = torch.linalg.solve(shrunk, z.T @ (goal - self.offset))

    def __call__(self, rows: Tensor) -> Tensor:
        """Scores (n,) of feature rows (n, f); higher is more like a private record."""
        return (rows - self.centre) * self.scale @ self.weights + self.offset
