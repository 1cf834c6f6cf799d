"""The tests of Suri et al. (SaTML 2023) on two populations of models."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.distribution_inference.attacks.base import DistributionAttack
from amulet.distribution_inference.attacks.scores import Test, kl_score, loss_score, threshold_score
from amulet.distribution_inference.populations import Labels, check_ratio
from amulet.training.recipe import Recipe


class DistributionInference(DistributionAttack):
    """Which of two shares of a sensitive attribute was in a model's training records? (paper: P4)

    The KL test compares the model's answers with those of the adversary's models of both ratios (Suri et al., SaTML
    2023); the loss test and the threshold test (Suri and Evans, PETS 2022) use accuracies only. All three are
    reported; `test` selects the one that decides.

    Args:
        attribute: the sensitive attribute; None: the data set's first.
        value: the value of the attribute whose share is asked about.
        ratio_1: the share in the first population's training sets, [0, 1], exact to the record.
        ratio_2: the share in the second's. With equal ratios there is nothing to infer: accuracy must then be 0.5.
        n_models: the victim's models for each ratio; raising it keeps the models that are already trained. About 150
            leave the accuracy a standard error of 3 points.
        n_shadow: the adversary's models for each ratio; None: as many. More than about 20 gain it little.
        size: records of each training set, of both ratios and sides; None: half of the largest that is possible, so
            that training sets differ.
        labels: `fixed`: every training set has the data's overall share of labels, within each group, so that the ratio
            is all that differs; `natural`: the share of labels within each group is the data's, so the overall share
            changes with the ratio and tells it.
        query_fraction: share of the adversary's records that are queries and not trained on, (0, 1).
        shadow: the adversary's models are made like the victim's (`same_as_victim`), or without any defence
            (`standard`).
        min_updates: an epoch has at least so many updates. Training sets are small: in an epoch of one or two batches
            models learn to answer the most frequent class and nothing of the attribute.
        test: `kl`, `loss` or `threshold`.
        calibrate: whether the KL test's threshold is learned on the adversary's own models; else it is at equal votes.
    """

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
        n_models: int = 10,
        n_shadow: int | None = None,
        size: int | None = None,
        labels: Labels = "fixed",
        query_fraction: float = 0.2,
        shadow: Literal["same_as_victim", "standard"] = "same_as_victim",
        min_updates: int = 4,
        test: Test = "kl",
        calibrate: bool = True,
    ) -> None:
        super().__init__(recipe, victim_records, adversary_records)
        check_ratio("ratio_1", ratio_1)
        check_ratio("ratio_2", ratio_2)
        in_range("n_models", n_models, 1)
        in_range("n_shadow", n_shadow, 1, optional=True)
        in_range("size", size, 2, optional=True)
        one_of("labels", labels, ("fixed", "natural"))
        in_range("query_fraction", query_fraction, above=0, below=1)
        one_of("shadow", shadow, ("same_as_victim", "standard"))
        in_range("min_updates", min_updates, 0)
        one_of("test", test, ("kl", "loss", "threshold"))
        self.attribute = attribute
        self.value = value
        self.ratio_1 = ratio_1
        self.ratio_2 = ratio_2
        self.n_models = n_models
        self.n_shadow = n_shadow
        self.size = size
        self.labels: Labels = labels
        self.query_fraction = query_fraction
        self.shadow: Literal["same_as_victim", "standard"] = shadow
        self.min_updates = min_updates
        self.test = test
        self.calibrate = calibrate

    def scores(self, victims: Tensor, first: Tensor, second: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """All three tests."""
        return {
            "kl": kl_score(victims, first, second, calibrate=self.calibrate),
            "loss": loss_score(victims, labels),
            "threshold": threshold_score(victims, first, second, labels),
        }
