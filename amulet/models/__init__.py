"""Models to attack and to defend, and functions to inspect any model."""

from amulet.models.cnn import SmallCNN
from amulet.models.ft_transformer import FTTransformer
from amulet.models.inspect import evaluating, features, frozen, predict
from amulet.models.linearnet import LinearNet
from amulet.models.resnet import ResNet
from amulet.models.vgg import VGG
from amulet.models.vision_transformer import VisionTransformer

__all__ = [
    "VGG",
    "FTTransformer",
    "LinearNet",
    "ResNet",
    "SmallCNN",
    "VisionTransformer",
    "evaluating",
    "features",
    "frozen",
    "predict",
]
