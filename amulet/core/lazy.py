"""Package contents that are imported on first use, so that importing the package stays fast."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def attach(package: str, contents: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` (PEP 562) for names that live in submodules: ``{name: submodule}``."""

    def load(name: str) -> Any:
        if name not in contents:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{contents[name]}"), name)

    return load
