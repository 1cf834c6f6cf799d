"""A model of which only answers are there: a table of predictions."""

import hashlib
from dataclasses import dataclass

import numpy as np

from amulet.core.access import Access
from amulet.core.errors import IncompatibleError
from amulet.datasets.base import PLACES, AmuletDataset
from amulet.victims.answering import Answering
from amulet.victims.carriers import Carrier
from amulet.victims.given import GivenVictim
from amulet.victims.views import Columns, View


@dataclass(frozen=True, kw_only=True)
class Recorded(Carrier):
    """The model whose answers the data set holds: `dataset=predictions`. It cannot be asked anything else."""

    def check(self) -> None:
        """There is nothing beside the data."""

    def on(self, data: AmuletDataset, view: View | None = None) -> GivenVictim:
        """The model; its answers are the data's.

        Raises:
            IncompatibleError: the data hold no answers.
        """
        if data.answers is None:
            raise IncompatibleError(f"model=predictions needs dataset=predictions, got {data.name}")
        table = data.answers.numpy()

        def answer(x: np.ndarray) -> np.ndarray:
            return table[np.rint(x[:, 0].astype(np.float64) * PLACES).astype(np.int64)]

        return GivenVictim(
            noun="recorded model",
            access=Access.LABELS | Access.PROBABILITIES | Access.LOGITS,
            digest=hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest(),
            model=Answering(answer, data.num_classes),
            view=view or Columns(),
            accuracy=self.accuracy,
            members_known=data.members_known,
        )

    @property
    def digest(self) -> str:
        """The same for all: what it answers is in the data."""
        return "recorded"
