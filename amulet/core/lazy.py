"""Package contents that are imported when they are first asked for, so that what is light stays light."""

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
