"""How attribute inference attacks learn: an MLP on standardised features."""

from collections.abc import Sequence

from torch import Tensor

from amulet.attribute_inference.attacks.base import AttributeAttack
from amulet.core.component import Factory
from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.models.linearnet import LinearNet
from amulet.training.loop import train
from amulet.training.runtime import Runtime


class LearnedAttack(AttributeAttack):
    """An attack, or a baseline, that fits an MLP for each attribute.

    Args:
        attributes: their names; None: all that it can infer.
        hidden: widths of the MLP's hidden layers.
        epochs: passes over the adversary's records.
        batch_size: records per update.
        lr: Adam's learning rate.
        held_out: share of the adversary's records on which the thresholds are chosen, (0, 1).
    """

    def _set_learner(
        self,
        *,
        attributes: list[str] | None,
        hidden: Sequence[int],
        epochs: int,
        batch_size: int,
        lr: float,
        held_out: float,
    ) -> None:
        if attributes is not None and not attributes:
            raise SettingError("`attributes` must name at least one attribute, or be null for all of them; got []")
        if not hidden or min(hidden) < 1:
            raise SettingError(f"`hidden` must list at least one width of 1 or more, got {list(hidden)}")
        in_range("epochs", epochs, 1)
        in_range("batch_size", batch_size, 1)
        in_range("lr", lr, above=0)
        in_range("held_out", held_out, above=0, below=1)
        self.attributes = attributes
        self.hidden = list(hidden)
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.held_out = held_out

    def guess(
        self, known: Tensor, values: Tensor, wanted: Tensor, count: int, *, stream: Stream, runtime: Runtime, label: str
    ) -> Tensor:
        """Standardise the features by those of the adversary's records, fit the MLP, and predict."""
        mean, scale = known.mean(dim=0), known.std(dim=0, correction=0).clamp_min(1e-6)
        with (stream / "weights").seed_global():
            model = LinearNet(known.shape[1:], count, hidden=self.hidden)
        train(
            model,
            Records.of((known - mean) / scale, values),
            optimizer=Factory("torch.optim.Adam", lr=self.lr),
            epochs=self.epochs,
            batch_size=self.batch_size,
            stream=stream,
            device=runtime.device,
            reporter=runtime.reporter,
            label=label,
        )
        return predict(model, (wanted - mean) / scale)
