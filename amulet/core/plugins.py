"""Installed packages that add attacks, defences, metrics, data sets, models, risks or views to Amulet.

A package names a module under the entry point group `amulet.plugins`. The module is imported once, registers what needs
registering (a risk, a view), and may have a folder `conf` beside it, whose options Hydra then finds.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "amulet.plugins"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One installed plug-in."""

    name: str
    module: str
    distribution: str
    conf: Path | None
    """Its folder of options, if it has one."""
    error: str = ""
    """Why it could not be loaded; it then adds nothing."""


@cache
def plugins() -> tuple[Plugin, ...]:
    """Every installed plug-in, loaded, in the order of their names. One that cannot be loaded has the error."""
    return tuple(_loaded(*found) for found in sorted(_installed()))


def _installed() -> set[tuple[str, str, str]]:
    """Name, module and distribution; a distribution that is on the path twice counts once."""
    return {(one.name, one.value, one.dist.name if one.dist else "") for one in entry_points(group=GROUP)}


def _loaded(name: str, path: str, distribution: str) -> Plugin:
    try:
        module = import_module(path)
    except Exception as error:  # noqa: BLE001 - code of another package: it may fail in any way
        return Plugin(
            name=name, module=path, distribution=distribution, conf=None, error=f"{type(error).__name__}: {error}"
        )
    folder = Path(module.__file__).parent / "conf" if module.__file__ else None
    return Plugin(
        name=name, module=path, distribution=distribution, conf=folder if folder and folder.is_dir() else None
    )
