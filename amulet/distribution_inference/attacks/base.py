"""The base of distribution inference attacks that tell two ratios apart by answers."""

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from amulet.distribution_inference.attacks.population import PopulationAttack, Seen


class DistributionAttack(PopulationAttack):
    """An attack that infers which of two shares of an attribute the data had. One method to write: `scores`."""

    @abstractmethod
    def scores(self, victims: Tensor, first: Tensor, second: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """One or more tests of each victim separately.

        Args:
            victims: log probabilities (2, v, queries, classes) of the victims' models; first the queries of the first
                ratio, then those of the second.
            first: (2, n, queries, classes) of the adversary's models of the first ratio.
            second: (2, n, queries, classes) of its models of the second.
            labels: (2, queries), true labels of the queries.

        Returns:
            (v,) by test, above 0 for the second ratio; one of the tests must have the name in `test`.
        """

    def judge(self, victims: Seen, shadows: Seen, labels: Tensor) -> tuple[Mapping[str, Tensor], Tensor | None]:
        """The `scores`, and no ratio."""
        first, second = (shadows.answers[:, shadows.population == which] for which in (0, 1))
        return self.scores(victims.answers, first, second, labels), None
