"""The only way to import torchvision, which cannot be imported with every build of torch."""

import importlib
import sys
import warnings
from functools import cache
from types import ModuleType

import torch

_MISSING = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # operators exist as long as the library that declares them


@cache
def import_torchvision() -> ModuleType:
    """torchvision, for data sets, transforms and models; call it before importing what imports torchvision itself.

    If the compiled part of torchvision does not match the installed torch, the import fails, because that part does not
    register the operators that the Python part extends. In that case two of them are declared, without implementation.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Failed to load image Python extension", category=UserWarning)
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            if _MISSING not in str(error):
                raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # remains of a failed import
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(name + _SCHEMA)
        _declared.append(library)
        return importlib.import_module("torchvision")
