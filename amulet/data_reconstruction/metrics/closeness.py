"""Mean squared error and structural similarity of inputs."""

import torch
from torch import Tensor

from amulet.core.vision import import_torchvision
from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for

_HALF = 5  # half the side of Wang et al.'s window of 11, whose Gaussian has a standard deviation of 1.5
_SIGMA = 1.5


def mse(x: Tensor, truth: Tensor) -> Tensor:
    """Mean squared difference, (b,) float64 for inputs (b, *shape); in [0, 1] for inputs in [0, 1], 0 is the same.

    The mean over all values of an input of (x - truth)^2 (paper, Table 3). Lower is worse for the victim.

    >>> mse(Tensor([[0.0, 1.0]]), Tensor([[0.5, 1.0]]))
    tensor([0.1250], dtype=torch.float64)
    """
    return (x.double() - truth.double()).square().flatten(1).mean(dim=1)


def nearest_mse(x: Tensor, records: Records) -> Tensor:
    """The `mse` of each input (b, *shape) to the nearest of some records, (b,) float64.

    >>> nearest_mse(torch.tensor([[0.0, 0.0]]), Records.of(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.zeros(2)))
    tensor([0.5000], dtype=torch.float64)
    """
    asked, size = x.double().flatten(1), batch_size_for(records.shape)
    blocks = [
        torch.cdist(asked, records.inputs(slice(at, at + size)).double().cpu().flatten(1)).min(dim=1).values
        for at in range(0, len(records), size)
    ]
    return torch.stack(blocks).min(dim=0).values.square() / asked.shape[1]


def ssim(x: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity, (b,) float64 for images (b, channels, h, w) in [0, 1]; at most 1, which is the same.

    Wang et al., IEEE TIP 13(4), 2004, eq. 13: Gaussian windows of 11 x 11, population covariances, K = (0.01, 0.03),
    the mean over channels and over the places where the window fits. For images with a side under 11 the window is
    the largest odd one that fits and its Gaussian is narrower in proportion. Higher is worse for the victim.

    Raises:
        ValueError: a side is under 3, where no window fits.
    """
    side = min(x.shape[2:])
    if side < 3:
        raise ValueError(f"`x` must have sides of at least 3 pixels, got {tuple(x.shape)}")
    import_torchvision()  # torchmetrics imports it too, but unguarded
    from torchmetrics.functional.image import structural_similarity_index_measure

    half = min(_HALF, (side - 1) // 2)
    _, every = structural_similarity_index_measure(
        x.double(),
        truth.double(),
        sigma=_SIGMA * half / _HALF,
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )
    # Whether torchmetrics' mean includes the padded border depends on its version.
    return every[..., half:-half, half:-half].flatten(1).mean(dim=1)


def comparable(shape: tuple[int, ...]) -> bool:
    """Are inputs of that shape images that have a structural similarity?

    >>> comparable((3, 32, 32)), comparable((42,))
    (True, False)
    """
    return len(shape) == 3 and min(shape[1:]) >= 3
