"""The one way to torchvision, which does not import beside every build of torch."""

import importlib
import sys
import warnings
from functools import cache
from types import ModuleType

import torch

_MISSING = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # operators live as long as the library that declares them


@cache
def import_torchvision() -> ModuleType:
    """torchvision, for data sets, transforms and models; call it before importing what imports torchvision itself.

    A torchvision whose compiled part does not fit the torch beside it stops at its import, because that part does not
    register the operators that its Python part adds to. Only then two of them are declared, without an implementation.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Failed to load image Python extension", category=UserWarning)
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            if _MISSING not in str(error):
                raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # halves of a failed import
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(name + _SCHEMA)
        _declared.append(library)
        return importlib.import_module("torchvision")
