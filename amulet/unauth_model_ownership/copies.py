"""What a thief does to a copied model so that its owner does not recognise it."""

import copy

import torch
from torch import Tensor, nn

from amulet.core.component import Factory
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import device_of
from amulet.training.loop import build_optimizer, train
from amulet.training.recipe import Recipe

_KNOWN = 1000  # records that a filter compares inputs with
_FAMILIAR = 0.99  # the share of the thief's own records that its filter lets pass


def fine_tuned(
    model: nn.Module, records: Records, recipe: Recipe, epochs: int, rate: float, stream: Stream
) -> nn.Module:
    """A copy trained further, in eval mode: on a random half of the thief's records with their true labels.

    Args:
        model: the owner's; not changed.
        records: the thief's.
        recipe: the optimizer, batch size, precision and device.
        epochs: passes over the half.
        rate: the learning rate as a multiple of the recipe's.
        stream: which half, and its batches.
    """
    half = torch.randperm(len(records), generator=(stream / "records").generator())[: (len(records) + 1) // 2]
    made, device = copy.deepcopy(model), recipe.runtime.device
    train(
        made.to(device),
        records.take(half.sort().values),
        optimizer=_faster(recipe.optimizer, made, device, rate),
        epochs=epochs,
        batch_size=recipe.batch_size,
        stream=stream,
        device=device,
        precision=recipe.precision,
        label=f"fine-tuned copy at {rate:g} times the learning rate",
    )
    return made.eval()


def _faster(optimizer: Factory, model: nn.Module, device: torch.device, rate: float) -> Factory:
    """The optimizer with a multiple of its learning rate, which may be its default."""
    if rate == 1:
        return optimizer
    return optimizer.with_settings(lr=rate * build_optimizer(optimizer, model, device).param_groups[0]["lr"])


def pruned(model: nn.Module, share: float) -> nn.Module:
    """A copy whose smallest weights are 0: this share of all matrices and kernels together (Han et al., NeurIPS 2015).

    >>> layer = nn.Linear(4, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, -4.0, 2.0, 3.0]]))
    >>> pruned(layer, 0.5).weight.tolist()
    [[0.0, -4.0, 0.0, 3.0]]
    """
    made = copy.deepcopy(model)
    weights = [p for p in made.parameters() if p.dim() > 1]
    count = int(share * sum(p.numel() for p in weights))
    if count:
        with torch.no_grad():
            limit = torch.cat([p.abs().flatten() for p in weights]).kthvalue(count).values
            for weight in weights:
                weight.mul_(weight.abs() > limit)
    return made.eval()


class Filtered(nn.Module):
    """A copy, in eval mode, that does not answer inputs unlike the thief's records: those get the most frequent label.

    An input is unlike them if it is farther from the nearest of them than 99 % of other records are. Watermark
    triggers that no record looks like are answered without the mark, whatever the weights have learned.
    """

    known: Tensor
    limit: Tensor
    answer: Tensor

    def __init__(self, model: nn.Module, records: Records, classes: int, stream: Stream) -> None:
        super().__init__()
        order = torch.randperm(len(records), generator=stream.generator())
        size = min(_KNOWN, (len(records) + 1) // 2)
        known, others = (records.take(part).inputs().flatten(1) for part in (order[:size], order[size : 2 * size]))
        apart = torch.cdist(others, known)
        self.model = copy.deepcopy(model)
        self.register_buffer("known", known)
        self.register_buffer("limit", apart.amin(dim=1).quantile(_FAMILIAR))
        self.register_buffer("answer", nn.functional.one_hot(records.y.bincount().argmax(), classes).float())
        self.to(device_of(model)).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes)."""
        with torch.no_grad():
            strange = torch.cdist(x.flatten(1).float(), self.known).amin(dim=1) > self.limit
        return torch.where(strange.unsqueeze(1), self.answer, self.model(x))
