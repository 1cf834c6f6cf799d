"""The notebooks run, and give outputs of the kinds that they are stored with."""

import importlib.util
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_site"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    spec = importlib.util.find_spec("notebooks")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stored, found = nbformat.read(path, as_version=4), module.executed(path, tmp_path)
    assert kinds(found) == kinds(stored), "make tutorials stores what the notebooks give now"


def kinds(notebook: Any) -> list[list[list[str]]]:
    """Of each cell and output what it is."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [[sorted(output.get("data", {"text": ""})) for output in cell.outputs] for cell in cells]
