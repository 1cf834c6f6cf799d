"""Where Hydra searches for options and modules: Amulet's and the user's."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from amulet_cli.base.errors import UsageError

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

VERSION_BASE = "1.3"


def conf_dir() -> Path:
    """The options that come with Amulet: in the package, or in the checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


def find_user_modules() -> None:
    """Let `_target_` name modules in the working directory, which is not on the path of a console script."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


@contextmanager
def opened(config_dir: Path | None) -> "Iterator[Hydra]":
    """Hydra with our options and the user's, set up like Hydra's own entry point."""
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra

    version.setbase(VERSION_BASE)
    path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        _refuse_hidden_options(config_dir)
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
    plain = cast(dict[str, Any], OmegaConf.to_container(found, resolve=False))
    return dict(_flat({key: value for key, value in plain.items() if key != "hydra"}))


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if key in ("about", "_target_"):
            continue
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from _flat(cast(Mapping[str, Any], value), f"{prefix}{key}.")


def _refuse_hidden_options(config_dir: Path) -> None:
    for file in sorted(config_dir.rglob("*.yaml")):
        relative = file.relative_to(config_dir)
        if (conf_dir() / relative).is_file() and config_dir != conf_dir():
            raise UsageError(
                f"`{relative.with_suffix('').as_posix()}` is already an option of Amulet, which would be used instead",
                where=str(file),
                expected="another file name",
            )
