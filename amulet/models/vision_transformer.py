"""A small vision transformer made of torchvision's encoder blocks."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core.errors import SettingError, in_range
from amulet.core.vision import import_torchvision
from amulet.models.layers import ClassToken, Positions, image_shape


class VisionTransformer(nn.Module):
    """Patches of the image as tokens, a class token, encoder blocks, a linear head (Dosovitskiy et al., ICLR 2021).

    The image need not be square: it is padded with zeros at the right and at the bottom to a multiple of the patch.

    Args:
        input_shape: (channels, height, width).
        num_classes: the number of logits.
        patch: the side of a patch in pixels. None: an eighth of the image's longer side, which gives about 64 tokens.
        dim: the width of a token.
        layers: the number of encoder blocks.
        heads: attention heads; they divide `dim`.
        mlp_ratio: the hidden width of a block's two linear layers, times `dim`.
        dropout: share of units dropped in training, outside the attention; [0, 1).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        patch: int | None = None,
        dim: int = 128,
        layers: int = 6,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = image_shape("VisionTransformer", input_shape)
        in_range("patch", patch, 1, max(height, width), optional=True)
        check_sizes(dim, layers, heads, mlp_ratio)
        in_range("dropout", dropout, 0, below=1)
        side = patch or -(-max(height, width) // 8)
        rows, columns = -(-height // side), -(-width // side)
        self.margin = (0, columns * side - width, 0, rows * side - height)
        self.patches = nn.Conv2d(channels, dim, side, stride=side)
        nn.init.trunc_normal_(self.patches.weight, std=(channels * side**2) ** -0.5)
        nn.init.zeros_(self.patches.bias)  # pyright: ignore[reportArgumentType]
        self.token = ClassToken(dim)
        self.positions = Positions(1 + rows * columns, dim)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        block = import_torchvision().models.vision_transformer.EncoderBlock
        self.blocks = nn.Sequential(*(block(heads, dim, round(dim * mlp_ratio), dropout, 0.0) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, *input_shape)."""
        tokens = self.patches(F.pad(x, self.margin)).flatten(2).mT
        tokens = self.blocks(self.dropout(self.positions(self.token(tokens))))
        return self.head(self.norm(tokens)[:, 0])


def check_sizes(dim: int, layers: int, heads: int, mlp_ratio: float) -> None:
    """Raise `SettingError` unless a transformer can have these sizes."""
    in_range("dim", dim, 1)
    in_range("layers", layers, 1)
    in_range("heads", heads, 1)
    in_range("mlp_ratio", mlp_ratio, above=0)
    if dim % heads:
        raise SettingError(f"`dim` must be a multiple of `heads` ({heads}), got {dim}")
