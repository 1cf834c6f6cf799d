"""The import of torchvision, which fails with some builds of torch, for Amulet's own code and for a user's."""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MISSING = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[Any] = []  # operators exist as long as the library that declares them


def import_torchvision() -> ModuleType:
    """torchvision, for data sets, transforms and models."""
    mend_torchvision()
    return importlib.import_module("torchvision")


def mend_torchvision() -> None:
    """Make `import torchvision` work, whoever imports it; imports nothing itself.

    If the compiled part of torchvision does not match the installed torch, the import fails, because that part does not
    register the operators that the Python part extends. In that case two of them are declared, without implementation.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds torchvision as the others do, and watches how it is executed."""

    _asking = False

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /) -> Any:
        if fullname != "torchvision" or self._asking:
            return None
        self._asking = True
        try:
            spec: ModuleSpec | None = importlib.util.find_spec(fullname)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, usual: Loader) -> None:
        self.usual = usual

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.usual.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Failed to load image Python extension", category=UserWarning)
            try:
                self.usual.exec_module(module)
                return
            except RuntimeError as error:
                if _MISSING not in str(error):
                    raise
            for name in [name for name in sys.modules if name.startswith("torchvision.")]:
                del sys.modules[name]  # remains of a failed import
            _declare()
            self.usual.exec_module(module)


def _declare() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)
    _declared.append(library)
