"""Where Hydra searches for options and modules: those of Amulet, of plug-ins and of the user."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import shipped
from amulet_cli.base.plugins import loaded
from amulet_cli.base.serialize import flat
from amulet_cli.config.option_files import refuse_endless

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

VERSION_BASE = "1.3"
_NO_SETTINGS = {"hydra", "about", "_target_"}


@dataclass(frozen=True)
class OptionFolder:
    """A folder of options, one subfolder for each group."""

    path: Path
    origin: str = ""
    """The distribution that brings it, or the name of a user's folder; empty for Amulet's own."""


def conf_dir() -> Path:
    """The options that come with Amulet."""
    return shipped("conf")


def option_folders(config_dir: Path | None = None) -> tuple[OptionFolder, ...]:
    """Amulet's options, those of every plug-in, and a user's, in the order in which they are looked into.

    Raises:
        UsageError: an option has the name of one in an earlier folder, which would be used instead.
    """
    folders = [OptionFolder(conf_dir())]
    folders += [OptionFolder(plugin.conf, plugin.distribution or plugin.name) for plugin in loaded() if plugin.conf]
    if config_dir is not None and config_dir not in [folder.path for folder in folders]:
        folders.append(OptionFolder(config_dir, config_dir.name))
    _refuse_hidden_options(folders)
    return tuple(folders)


def find_user_modules() -> None:
    """Let `_target_` name modules in the working directory, which is not on the path of a console script.

    Also let such modules import torchvision.
    """
    from amulet.core.vision import mend_torchvision

    mend_torchvision()
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def register_option_folders() -> None:
    """Let Hydra find the options of plug-ins wherever it composes: here, and in what it does by itself."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class PluginOptions(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for plugin in loaded():
                if plugin.conf:
                    search_path.append(f"amulet-plugin-{plugin.name}", f"file://{plugin.conf}")

    known = Plugins.instance()
    if all(one.__qualname__ != PluginOptions.__qualname__ for one in known.discover(SearchPathPlugin)):
        known.register(PluginOptions)


@contextmanager
def opened(config_dir: Path | None) -> "Iterator[Hydra]":
    """Hydra with our options, those of plug-ins and the user's, set up like Hydra's own entry point."""
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra

    for folder in option_folders(config_dir):
        if folder.path == config_dir:
            for file in sorted(folder.path.rglob("*.yaml")):
                refuse_endless(file)
    register_option_folders()
    version.setbase(VERSION_BASE)
    path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        path.prepend("command-line", f"file://{config_dir}", anchor=SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2(task_name="amulet", config_search_path=path)
    finally:
        GlobalHydra.instance().clear()


def settings(hydra: "Hydra", words: Sequence[str], config_name: str = "config") -> dict[str, Any]:
    """What can be set beside these overrides, by keys with dots: nodes too. Overrides are left out if one is wrong."""
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    try:
        found = hydra.compose_config(config_name, list(words), RunMode.MULTIRUN, validate_sweep_overrides=False)
    except HydraException:
        found = hydra.compose_config(config_name, [], RunMode.MULTIRUN)
    known = flat(cast(dict[str, Any], OmegaConf.to_container(found, resolve=False)), nodes=True)
    return {key: value for key, value in known.items() if _NO_SETTINGS.isdisjoint(key.split("."))}


def _refuse_hidden_options(folders: list[OptionFolder]) -> None:
    seen: dict[Path, str] = {}
    for folder in folders:
        for file in sorted(folder.path.rglob("*.yaml")):
            relative = file.relative_to(folder.path)
            if relative not in seen:
                seen[relative] = folder.origin or "Amulet"
                continue
            raise UsageError(
                f"`{relative.with_suffix('').as_posix()}` is already an option of {seen[relative]}, which would be "
                "used instead",
                where=str(file),
                expected="another file name",
            )
