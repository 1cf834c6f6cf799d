"""The audit of differential privacy by one training run (Steinke, Nasr and Jagielski, NeurIPS 2023)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.core.errors import SettingError, in_range
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.membership_inference.attacks.candidates import Asked, CandidateAttack, Candidates, Scored
from amulet.membership_inference.attacks.signals import membership_signal
from amulet.membership_inference.metrics.audit import Audit
from amulet.training.recipe import Recipe
from amulet.training.victim import DataSplits, Victim

_MANY = 1000
_LEAST = 20


class CanaryAudit(CandidateAttack):
    """Which of some mislabelled records was a model trained on? The right guesses bound epsilon from below.

    Canaries are training records of the victim with a wrong label, the kind of record that is exposed most (Aerni et
    al., CCS 2024). Each one is put into the training records or left out by the toss of a coin, and one model is
    trained. Half of the guesses say "in", of the canaries whose wrong label the model is surest of; the others "out",
    of those at the other end. How many guesses are made is fixed before.

    Args:
        canaries: how many; None: 1,000, but at most a quarter of the victim's records.
        guesses: how many are guessed, even; None: a fifth of the canaries.

    The other arguments are those of every membership inference attack, `CandidateAttack`; `records` are the canaries
    with their wrong labels.
    """

    title = "one-run audit with canaries"
    needs = Access.PROBABILITIES | Access.TRAINING

    def __init__(
        self,
        model: nn.Module | None = None,
        recipe: Recipe | None = None,
        records: Records | None = None,
        members: Tensor | None = None,
        population: Records | None = None,
        *,
        canaries: int | None = None,
        guesses: int | None = None,
    ) -> None:
        super().__init__(model, recipe, records, members, population)
        in_range("canaries", canaries, _LEAST, optional=True)
        in_range("guesses", guesses, 2, optional=True)
        if guesses is not None and (guesses % 2 or guesses > (canaries or _MANY)):
            raise SettingError(f"`guesses` must be even and at most the {canaries or _MANY} canaries, got {guesses}")
        self.canaries = canaries
        self.guesses = guesses

    def check(self, data: AmuletDataset) -> None:
        """`SettingError` if there are fewer records than canaries are asked for."""
        n = len(data.train)
        if (self.canaries or _LEAST) > n // 2:
            raise SettingError(
                f"`attack.canaries` must be at most half of the {n} training records, got {self.canaries or _LEAST}"
            )

    def manifest(self) -> dict[str, Any]:
        """What the candidates are."""
        return {"candidates": "training records with a wrong label, each in the training or not by the toss of a coin"}

    def candidates(self, victim: Victim, splits: DataSplits) -> Candidates:
        """Canaries from the victim's records; it is trained on its other records and on about half of the canaries."""
        records, stream = victim.records, splits.attack_stream("canaries")
        count = min(self.canaries or min(_MANY, len(records) // 4), len(records) // 2)
        order = torch.randperm(len(records), generator=(stream / "records").generator())
        chosen, rest = order[:count].sort().values, order[count:].sort().values
        classes, generator = victim.recipe.num_classes, (stream / "labels").generator()
        canaries = records.take(chosen)
        wrong = (canaries.y.cpu() + torch.randint(1, classes, (count,), generator=generator)) % classes
        coins = torch.rand(count, generator=(stream / "coins").generator()) < 0.5
        return Candidates(
            pool=canaries.replace(y=wrong.to(canaries.y.device)), members=coins, others=records.take(rest)
        )

    def judge(self, asked: Asked) -> Scored:
        """How sure the model is of each wrong label."""
        signals = membership_signal(asked.answer(asked.records), asked.records.y.cpu())
        return Scored(scores={"canaries": signals}, target_signals=signals)

    def outcome(self, score: np.ndarray, members: np.ndarray, delta: float) -> Audit:
        """Guess the canaries at both ends of the score, and count the right guesses.

        Args:
            score: (n,) the higher, the more likely in.
            members: (n,) bool: which were in.
            delta: of the differential privacy that is tested.
        """
        guesses = min(self.guesses or max(2, len(score) // 5), len(score))
        half = guesses // 2
        order = np.argsort(-score, kind="stable")
        right = int(members[order[:half]].sum() + (~members[order[len(order) - half :]]).sum())
        return Audit(canaries=len(score), guesses=2 * half, right=right, delta=delta)
