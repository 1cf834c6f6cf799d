"""Package contents that are imported on first use, so that importing the package stays fast."""

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


def attach(
    package: str, contents: Mapping[str, str], elsewhere: Mapping[str, str] = MappingProxyType({})
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A module's `__getattr__` and `__dir__` (PEP 562) for names that live in submodules: ``{name: submodule}``.

    A name whose submodule is itself, ``{"evasion": "evasion"}``, is the submodule.

    Args:
        package: the module's name.
        contents: names and submodules.
        elsewhere: names and the modules outside the package that they come from.
    """

    def load(name: str) -> Any:
        if name in elsewhere:
            return getattr(importlib.import_module(elsewhere[name]), name)
        if name not in contents:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{contents[name]}")
        return module if contents[name] == name else getattr(module, name)

    def names() -> list[str]:
        return sorted({*vars(importlib.import_module(package)), *contents, *elsewhere})

    return load, names
