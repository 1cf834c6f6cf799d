"""Regression of the ratio on what is seen of models of known ratios."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from amulet.core.errors import SettingError, in_range, one_of
from amulet.datasets.records import Records
from amulet.distribution_inference.attacks.population import PopulationAttack, Seen
from amulet.distribution_inference.populations import Labels, check_ratio, spaced
from amulet.training.recipe import Recipe


def one_component(features: Tensor, target: Tensor, asked: Tensor) -> Tensor:
    """Partial least squares with one component (Wold, 1975): predictions (v,) for `asked` (v, d).

    The component is the covariance of each feature with the target, which tens of models are enough for, whatever d is.
    Known models lie farther out on it than others, because it was made of them: so the line from the component to the
    target is fitted to where each would lie if it had been left out (in closed form), and never falls.

    Args:
        features: (n, d) float64 of n known models, n at least 3.
        target: (n,) their ratios.
        asked: (v, d) of models whose ratio is asked for; each is predicted by itself.
    """
    mean, middle, n = features.mean(dim=0), target.mean(), len(target)
    x, y = features - mean, target - middle
    component = x.T @ y
    left_out = (x @ component - x.square().sum(dim=1) * y * n / (n - 1)) * n / (n - 1)
    centre = left_out.mean()
    spread = (left_out - centre).square().sum()
    slope = ((left_out - centre) @ y / spread).clamp_min(0) if spread > 0 else torch.zeros_like(middle)
    return middle + slope * ((asked - mean) @ component - centre)


class RatioRegression(PopulationAttack):
    """Which share of its training records has a value? A number, from answers of models of known shares (paper: P4).

    Suri and Evans (PETS 2022) regress the ratio with a meta-classifier on models of several ratios. Here it is a
    regression on one component of the probabilities of all classes for all queries. `ratio_1` and `ratio_2` are told
    apart as well, by the side of their middle on which the estimate is, so its accuracy stands beside that of the other
    attacks.

    Args:
        attribute: the sensitive attribute; None: the data set's first.
        value: the value of the attribute whose share is asked about.
        ratio_1: the least share, [0, 1], exact to the record.
        ratio_2: the largest.
        steps: into how many equal steps the shares between them divide; models of each share are trained. 1: of the two
            only.
        n_models: the victim's models for each of the two ratios.
        n_between: the victim's models for each ratio between.
        n_shadow: the adversary's models for each ratio; None: as many as `n_models`.
        size: records of each training set; None: half of the largest that is possible.
        labels: `fixed` or `natural`, as for `DistributionInference`.
        query_fraction: share of the adversary's records that are queries and not trained on, (0, 1).
        shadow: `same_as_victim` or `standard`, as for `DistributionInference`.
        min_updates: an epoch has at least so many updates; see `DistributionInference`.
    """

    title = "regression of the ratio on answers"
    test = "regression"

    def __init__(
        self,
        recipe: Recipe | None = None,
        victim_records: Records | None = None,
        adversary_records: Records | None = None,
        *,
        attribute: str | None = None,
        value: int = 1,
        ratio_1: float = 0.1,
        ratio_2: float = 0.9,
        steps: int = 2,
        n_models: int = 10,
        n_between: int = 5,
        n_shadow: int | None = None,
        size: int | None = None,
        labels: Labels = "fixed",
        query_fraction: float = 0.2,
        shadow: Literal["same_as_victim", "standard"] = "same_as_victim",
        min_updates: int = 4,
    ) -> None:
        super().__init__(recipe, victim_records, adversary_records)
        check_ratio("ratio_1", ratio_1)
        check_ratio("ratio_2", ratio_2)
        in_range("steps", steps, 1)
        for ratio in spaced(ratio_1, ratio_2, steps):
            try:
                check_ratio("steps", ratio)
            except SettingError as error:
                raise SettingError(
                    f"`steps` must divide the shares from {ratio_1:g} to {ratio_2:g} into steps of at most three "
                    f"decimals, got {steps}"
                ) from error
        in_range("n_models", n_models, 1)
        in_range("n_between", n_between, 1)
        in_range("n_shadow", n_shadow, 2, optional=True)
        in_range("size", size, 2, optional=True)
        one_of("labels", labels, ("fixed", "natural"))
        in_range("query_fraction", query_fraction, above=0, below=1)
        one_of("shadow", shadow, ("same_as_victim", "standard"))
        in_range("min_updates", min_updates, 0)
        self.attribute = attribute
        self.value = value
        self.ratio_1 = ratio_1
        self.ratio_2 = ratio_2
        self.steps = steps
        self.n_models = n_models
        self.n_between = n_between
        self.n_shadow = n_shadow
        self.size = size
        self.labels: Labels = labels
        self.query_fraction = query_fraction
        self.shadow: Literal["same_as_victim", "standard"] = shadow
        self.min_updates = min_updates

    @property
    def between(self) -> tuple[float, ...]:
        """The ratios that `steps` makes between the two."""
        return spaced(self.ratio_1, self.ratio_2, self.steps)

    def features(self, seen: Seen) -> Tensor:
        """What the ratio is regressed on, (models, d): the probabilities of all classes for all queries."""
        return seen.answers.double().exp().transpose(0, 1).flatten(1)

    def judge(self, victims: Seen, shadows: Seen, labels: Tensor) -> tuple[Mapping[str, Tensor], Tensor | None]:
        """The ratios, in [0, 1]; the score is that from the middle of the two ratios on."""
        found = one_component(self.features(shadows), shadows.ratios[shadows.population], self.features(victims))
        score = found - (self.ratio_1 + self.ratio_2) / 2
        return {self.test: score if self.ratio_2 >= self.ratio_1 else -score}, found.clamp(0, 1)
