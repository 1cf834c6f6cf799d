"""The digest by which stored models know the code that made them."""

import linecache
import sys
from pathlib import Path

import pytest

from amulet.core import component
from amulet.core.component import code_digest

FILES = {
    "__init__.py": "",
    "net.py": "import json\n\nfrom mine.layers import build\n",
    "layers.py": "def build():\n    from mine import sizes\n\n    return sizes.WIDTH\n",
    "sizes.py": "WIDTH = 3\n",
    "other.py": "UNUSED = True\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, source in FILES.items():
        (folder / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def digest(module: str) -> str:
    """As another process would see it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]
    linecache.clearcache()
    code_digest.cache_clear()
    component._source.cache_clear()  # pyright: ignore[reportPrivateUsage]
    return code_digest(module)


@pytest.mark.parametrize("changed", ["net.py", "layers.py", "sizes.py", "__init__.py"])
def test_a_change_in_what_a_module_imports_changes_its_digest(package: Path, changed: str) -> None:
    before = digest("mine.net")
    assert before == digest("mine.net")
    (package / changed).write_text(FILES[changed] + "CHANGED = 1\n")
    assert digest("mine.net") != before


def test_a_change_elsewhere_does_not(package: Path) -> None:
    before = digest("mine.net")
    (package / "other.py").write_text("UNUSED = False\n")
    assert digest("mine.net") == before


def test_what_has_no_source_has_a_digest_by_its_name() -> None:
    assert code_digest("sys") != code_digest("builtins")
    assert len(code_digest("no.such.module")) == 16


def test_an_attack_that_training_searches_with_is_part_of_the_defence() -> None:
    found = component._imported(  # pyright: ignore[reportPrivateUsage]
        "from amulet.evasion.attacks.ascent import Goal, ascend\nimport torch\n", "amulet"
    )
    assert found == [
        "amulet.evasion.attacks.ascent",
        "amulet.evasion.attacks.ascent.Goal",
        "amulet.evasion.attacks.ascent.ascend",
    ]
