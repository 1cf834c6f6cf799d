"""A transformer for tables: the FT-Transformer from its authors' package."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from amulet.core.errors import SettingError, in_range
from amulet.models.layers import ClassToken
from amulet.models.vision_transformer import check_sizes


class FTTransformer(nn.Module):
    """One token per column, a class token, encoder blocks, a linear head (Gorishniy et al., NeurIPS 2021).

    A column's token is a learned vector times its value plus another vector, also for one-hot columns. The parts are
    those of `rtdl_revisiting_models`, an optional dependency. The defaults except `dim` are its defaults for two
    blocks.

    Args:
        input_shape: (columns,).
        num_classes: the number of logits.
        dim: the width of a token.
        layers: the number of encoder blocks.
        heads: attention heads; they divide `dim`.
        mlp_ratio: the hidden width of a block's two linear layers, times `dim`.
        attention_dropout: share of the attention dropped in training, [0, 1).
        dropout: share of a block's hidden units dropped in training, [0, 1).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        dim: int = 64,
        layers: int = 2,
        heads: int = 8,
        mlp_ratio: float = 1.3333,
        attention_dropout: float = 0.15,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        if len(input_shape) != 1:
            raise SettingError(
                f"`model`: FTTransformer takes tables (columns,), got inputs of shape {tuple(input_shape)}; "
                "VisionTransformer takes images"
            )
        check_sizes(dim, layers, heads, mlp_ratio)
        in_range("attention_dropout", attention_dropout, 0, below=1)
        in_range("dropout", dropout, 0, below=1)
        parts = _parts()
        self.embedding: nn.Module = parts.LinearEmbeddings(input_shape[0], dim)
        self.token = ClassToken(dim)
        self.backbone: nn.Module = parts.FTTransformerBackbone(
            d_out=num_classes,
            n_blocks=layers,
            d_block=dim,
            attention_n_heads=heads,
            attention_dropout=attention_dropout,
            ffn_d_hidden=round(dim * mlp_ratio),
            ffn_d_hidden_multiplier=None,
            ffn_dropout=dropout,
            residual_dropout=0.0,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_classes) of records (n, columns)."""
        return self.backbone(self.token(self.embedding(x)))


def _parts() -> Any:
    try:
        import rtdl_revisiting_models
    except ImportError as error:
        raise SettingError(
            "`model`: FTTransformer needs the package rtdl_revisiting_models, which is not installed; "
            'pip install "amulet-cli[transformers]"'
        ) from error
    return rtdl_revisiting_models
