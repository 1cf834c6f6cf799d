"""An MLP on the victim's outputs (Aalmoes et al., WISE 2024)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from amulet.attribute_inference.attacks.base import AttributeAttack
from amulet.core.component import Factory
from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.models.linearnet import LinearNet
from amulet.training.loop import train
from amulet.training.runtime import Runtime


class AttributeInference(AttributeAttack):
    """Fits an MLP for each sensitive attribute to the victim's outputs on the adversary's own records (paper: P2).

    The thresholds are chosen on a part of these records that the MLP is not fitted to (Aalmoes et al., WISE 2024,
    adapt them to the attribute's imbalance), and everything is measured on the test split.

    Args:
        outputs: the victim's answers: `probabilities`, or `logits`, which contain more information.
        knows_inputs: whether the adversary also has the inputs of the records, images as thumbnails. The result is then
            compared with an inference from the inputs alone.
        knows_label: whether it also has their true labels, which is then what the result is compared with.
        attributes: their names; None: all sensitive attributes of the data set.
        hidden: widths of the MLP's hidden layers.
        epochs: passes over the adversary's records.
        batch_size: records per update.
        lr: Adam's learning rate.
        held_out: share of the adversary's records on which the thresholds are chosen, (0, 1).
    """

    def __init__(
        self,
        target_model: nn.Module | None = None,
        adversary_records: Records | None = None,
        test_records: Records | None = None,
        device: str | torch.device = "cpu",
        *,
        outputs: Literal["probabilities", "logits"] = "probabilities",
        knows_inputs: bool = False,
        knows_label: bool = False,
        attributes: list[str] | None = None,
        hidden: Sequence[int] = (64, 32),
        epochs: int = 20,
        batch_size: int = 256,
        lr: float = 0.001,
        held_out: float = 0.2,
    ) -> None:
        super().__init__(target_model, adversary_records, test_records, device)
        one_of("outputs", outputs, ("probabilities", "logits"))
        if attributes is not None and not attributes:
            raise SettingError("`attributes` must name at least one attribute, or be null for all of them; got []")
        if not hidden or min(hidden) < 1:
            raise SettingError(f"`hidden` must list at least one width of 1 or more, got {list(hidden)}")
        in_range("epochs", epochs, 1)
        in_range("batch_size", batch_size, 1)
        in_range("lr", lr, above=0)
        in_range("held_out", held_out, above=0, below=1)
        self.outputs = outputs
        self.knows_inputs = knows_inputs
        self.knows_label = knows_label
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
