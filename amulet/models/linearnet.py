"""A fully connected network with configurable layers."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from amulet.core.errors import SettingError, in_range, one_of

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


class LinearNet(nn.Module):
    """Fully connected layers with an activation between them (paper, Section 5).

    Inputs of any shape are flattened: (n, *shape) to logits (n, num_classes).

    Args:
        input_shape: the shape of one record's input.
        num_classes: the number of logits.
        hidden: the width of each hidden layer.
        activation: between the layers: `relu`, `tanh` or `gelu`.
        dropout: share of hidden units dropped in training, [0, 1).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        hidden: Sequence[int] = (128, 256, 128),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        one_of("activation", activation, _ACTIVATIONS)
        in_range("dropout", dropout, 0, below=1)
        if not hidden or min(hidden) < 1:
            raise SettingError(f"`hidden` must list at least one width of 1 or more, got {list(hidden)}")
        widths = [prod(input_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), _ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_classes) of inputs (n, *input_shape)."""
        return self.head(self.body(x))
