"""What the documentation names in code is there: files of the repository, modules and what is in them, settings."""

import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from amulet.core.plugins import GROUP
from amulet_cli.config.option_files import read_option
from amulet_cli.config.options import find_options
from tests.helpers.documentation import PAGES, ROOT

GROUPS = ("attack", "dataset", "defense", "model")
SUFFIXES = "py|md|yaml|yml|ipynb|toml"
OURS = [page for page in PAGES if page.name != "CHANGELOG.md" and "examples" not in page.parts]
"""Without what speaks of other versions, or of a user's own files."""


def spans(page: Path) -> list[str]:
    """The words in code within the text of a page."""
    return re.findall(r"`([^`\n]+)`", page.read_text("utf-8"))


def is_there(name: str) -> bool:
    """Whether `amulet.a.b` is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@cache
def settings(group: str) -> frozenset[str]:
    """The settings of all options of a group."""
    options = (read_option(Path(option.file)) for option in find_options(only=group))
    return frozenset(key for one in options if isinstance(one, Mapping) for key in cast(Mapping[str, Any], one))


def wrong(page: Path) -> Iterator[str]:
    for span in spans(page):
        for path in re.findall(rf"[\w./-]+/[\w./-]+\.(?:{SUFFIXES})\b", span):
            if not path.startswith(("my_", "/")) and not any(
                (folder / path).exists() for folder in (ROOT, page.parent, ROOT / "amulet", ROOT / "amulet_cli")
            ):
                yield path
        for name in re.findall(r"\bamulet(?:_cli)?(?:\.[A-Za-z_]\w*)+", span):
            if name != GROUP and not is_there(name):
                yield name
        for group, key in re.findall(rf"(?<![\w./-])({'|'.join(GROUPS)})\.([a-z_]+)(?=[=\]}}:, ]|$)", span):
            if key not in settings(group) and key not in SUFFIXES.split("|"):
                yield f"{group}.{key}"


@pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert not list(wrong(page))


def test_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`amulet/core/nothing.py`, `amulet.core.Nothing`, `attack.nothing=1`, `attack.epsilon`, `amulet.core`"
    )
    assert list(wrong(page)) == ["amulet/core/nothing.py", "amulet.core.Nothing", "attack.nothing"]
