"""The documentation as a site: `make site` builds it, strictly; here is what its own code does."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> Any:
    """docs/_site/pages.py, which MkDocs imports by its path."""
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "_site" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_may_be_loaded_from_elsewhere(pages: Any) -> None:
    harmless = '<a href="https://arxiv.org/abs/1">paper</a><img src="matrix.svg"><link href="assets/main.css">'
    assert pages.loaded_from_elsewhere(harmless) == []
    for tag in (
        '<script src="https://unpkg.com/mermaid"></script>',
        '<link rel="stylesheet" href="//fonts.example/roboto.css">',
        "<img alt=badge src=http://shields.example/x.svg>",
    ):
        assert len(pages.loaded_from_elsewhere(harmless + tag)) == 1


def test_a_notebook_becomes_a_page(pages: Any, tmp_path: Path) -> None:
    table = {"output_type": "execute_result", "data": {"text/html": ["<table>\n", "\n", "</table>"]}}
    text = {"output_type": "stream", "name": "stdout", "text": ["0.5\n"]}
    picture = {"output_type": "display_data", "data": {"image/png": "aGk=\n", "text/plain": "<Figure>"}}
    cells = [
        {"cell_type": "markdown", "source": ["# A title\n", "\n", "Words."]},
        {"cell_type": "code", "source": ["x = 1"], "outputs": [text, table, picture]},
    ]
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": cells}))
    page = pages.page_of(tmp_path / "one.ipynb")
    assert page.startswith("# A title\n\nWords.\n\n")
    assert "```python\nx = 1\n```\n\n```text\n0.5\n```\n\n" in page
    assert '<div class="output">\n<table>\n</table>\n</div>' in page
    assert 'src="data:image/png;base64,aGk="' in page
    assert pages.on_page_markdown("[a](tutorials/one.ipynb), [b](x.ipynb#c)") == "[a](tutorials/one.md), [b](x.md#c)"


def test_the_style_is_on_the_site_and_the_code_that_makes_it_is_not(pages: Any) -> None:
    names = {path.relative_to(ROOT).as_posix() for path in pages.sources()}
    assert {"docs/_site/site.css", "docs/python.md", "docs/risks/evasion.md", "docs/examples/figure1.py"} <= names
    assert "docs/_site/pages.py" not in names


def test_every_page_is_in_the_menu(pages: Any) -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    written = {
        path.relative_to(ROOT).with_suffix(".md") for path in pages.sources() if path.suffix in (".md", ".ipynb")
    }
    made = {Path("docs/api") / f"{package}.md" for package, _ in pages.references()}
    assert not [str(page) for page in sorted(written | made) if f"{page.as_posix()}\n" not in menu]


def test_what_pages_link_to_is_on_the_site(pages: Any) -> None:
    """`make site` says so too, after a while."""
    names = {path.resolve() for path in pages.sources()}
    texts = {page: re.sub(r"`[^`]*`", "", page.read_text("utf-8")) for page in names if page.suffix == ".md"}
    links = [(page, link) for page, text in texts.items() for link in re.findall(r"\]\(([^)#:\s]+)[^):]*\)", text)]
    assert len(links) > 100
    assert not [(page.name, link) for page, link in links if (page.parent / link).resolve() not in names]


def test_the_reference_has_every_public_package(pages: Any) -> None:
    found = dict(pages.references())
    packages = {f"amulet.{path.parent.name}" for path in (ROOT / "amulet").glob("*/__init__.py")}
    assert set(found) == {"amulet", *packages}
    assert "::: amulet.audit\n" in found["amulet"]
    assert "::: amulet.evasion.defenses\n" in found["amulet.evasion"]


def test_what_is_cited_is_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "amulet_cli.cli", "--cite"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert f"```bibtex\n{printed}\n```" in (ROOT / "docs" / "citing.md").read_text("utf-8")
