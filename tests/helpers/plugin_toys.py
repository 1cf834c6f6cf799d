"""Packages installed beside Amulet, as an installer would lay them out in a folder."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from amulet.core.plugins import plugins
from amulet_cli.base.plugins import loaded


def install(site: Path, name: str, options: Mapping[str, str], code: str = "") -> Path:
    """A distribution `name` with one plug-in, the package `name`, whose options are ``{"attack/mine": yaml}``."""
    package, about = site / name, site / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[amulet.plugins]\n{name} = {name}\n")
    package.mkdir()
    (package / "__init__.py").write_text(code)
    for option, text in options.items():
        file = package / "conf" / f"{option}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return package


@contextmanager
def on_the_path(site: Path) -> Iterator[None]:
    """Plug-ins are looked for as in a new process, those in `site` among them."""
    before = dict(sys.modules)
    sys.path.insert(0, str(site))
    _forget()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in set(sys.modules) - set(before):
            if str(site) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    plugins.cache_clear()
    loaded.cache_clear()
