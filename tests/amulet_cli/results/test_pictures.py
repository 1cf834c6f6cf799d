"""Evidence that is pictures, drawn as files beside the numbers."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from amulet.assessment import Outcome
from amulet.core.evidence import pictured
from amulet_cli.results.evidence_images import png, rows_by_file
from amulet_cli.results.writing import write_outcome

Pixels = NDArray[np.uint8]


def block(value: int, count: int = 3, channels: int = 1) -> Pixels:
    return np.full((count, 8, 6, channels), value, dtype=np.uint8)


def read(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content)) as file:
        assert file.format == "PNG"
        return np.asarray(file)


def test_what_is_drawn_are_bytes_with_channels_last() -> None:
    images = torch.tensor([0.0, 0.5, 2.0, float("nan")]).view(4, 1, 1, 1).expand(4, 3, 2, 5)
    found = pictured(images, most=4)
    assert found.shape == (4, 2, 5, 3)
    assert found.dtype == np.uint8
    assert found[:, 0, 0, 0].tolist() == [0, 128, 255, 0]
    assert len(pictured(torch.zeros(50, 1, 4, 4))) == 20


def test_rows_go_to_the_file_that_they_name() -> None:
    arrays: dict[str, Any] = {
        "undefended.data_reconstruction.picture.faces.class mean": block(1),
        "undefended.data_reconstruction.picture.faces.found": block(2),
        "defended.data_reconstruction.picture.faces.class mean": block(1),
        "defended.data_reconstruction.picture.faces.found": block(3),
        "defended.mine.picture.others.a.b": block(4),
        "undefended.data_reconstruction.means": np.zeros((2, 3)),
        "undefended.data_reconstruction.picture": np.zeros(3),
    }
    found = rows_by_file(arrays)
    assert {file: [row.name for row in rows] for file, rows in found.items()} == {
        "faces": ["class mean", "undefended: found", "defended: found"],
        "others": ["a.b"],
    }
    assert [int(row.images[0, 0, 0, 0]) for row in found["faces"]] == [1, 2, 3]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_shows_every_image_in_its_place(channels: int) -> None:
    rows = rows_by_file(
        {"undefended.r.picture.f.one": block(40, 3, channels), "undefended.r.picture.f.two": block(200, 2, channels)}
    )["f"]
    sheet = read(png(rows))
    # 8 x 6 is shown eleven times as large, so that no side is under 64, with gaps of 4 and a margin for names.
    assert sheet.shape == (16 + 2 * (88 + 4), 160 + 3 * (66 + 4), 3)
    for line, value, count in ((0, 40, 3), (1, 200, 2)):
        for column in range(3):
            top, left = 16 + line * 92, 160 + column * 70
            cell = sheet[top : top + 88, left : left + 66]
            assert (cell == (value if column < count else 255)).all()
    assert (sheet[16:108, :160] < 255).any(), "the row's name"


def test_a_run_writes_them_beside_its_evidence(tmp_path: Path) -> None:
    outcome = Outcome(metrics={"undefended": {"mse": 0.1}}, arrays={"undefended.r.picture.found.row": block(7)})
    config = {"seed": 0, "dataset": {}}
    choices: dict[str, str] = dict.fromkeys(("dataset", "model", "defense", "attack"), "x")
    write_outcome(tmp_path, outcome, choices=choices, overrides={}, config=config, environment={})
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"config.yaml", "metrics.json", "metrics.csv", "status.json", "evidence.npz", "found.png"}
    assert (read((tmp_path / "found.png").read_bytes())[20:80, 165:220] == 7).all()
    with np.load(tmp_path / "evidence.npz") as kept:
        assert np.array_equal(kept["undefended.r.picture.found.row"], block(7))
