"""Ownership of models of pictures: triggers that an owner brings, dataset inference in bounded batches."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from amulet.assessment import Plan, assess
from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.models import arithmetic
from amulet.training import MemoryStore, Runtime
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet.unauth_model_ownership.defenses import DatasetInference, WatermarkNN
from amulet.unauth_model_ownership.defenses.boundary import Stride, blind_walk, min_gd, searches_at_once
from amulet.unauth_model_ownership.defenses.picture_folder import PictureFolder
from tests.helpers.image_toys import faces
from tests.helpers.replacements import gives

DATA = faces(300, 150)
STORE = MemoryStore()
FEW = ModelExtraction(suspects=2, independents=4, fine_tune_epochs=1)


def drawing(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def folder_of(path: Path, count: int, suffix: str = ".png") -> Path:
    path.mkdir(exist_ok=True)
    for i in range(count):
        Image.fromarray(drawing(i, 20, 30, 3)).save(path / f"trigger{i:02}{suffix}")
    return path


def plan(*defenses: Any, data: AmuletDataset = DATA, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "data": data,
        "architecture": Factory("tests.helpers.image_toys.TinyConv", channels=8),
        "optimizer": Factory("torch.optim.Adam", lr=1e-2),
        "epochs": 25,
        "batch_size": 32,
        "attack": FEW,
        "defenses": defenses,
        "runtime": Runtime(store=STORE),
    }
    return Plan(**{**settings, **changes})


def pictures_of(path: Path) -> PictureFolder:
    found = WatermarkNN(triggers=str(path)).pictures
    assert found is not None
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_become_inputs(tmp_path: Path, channels: int) -> None:
    """Against Pillow's own conversion, of whatever kind a file is; sorted by name, other files left alone."""
    deep = drawing(3, 24, 24)
    Image.fromarray(drawing(0, 24, 24, 3)).save(tmp_path / "a.JPG", quality=95)
    Image.fromarray(drawing(1, 24, 24)).save(tmp_path / "b.png")
    Image.fromarray(drawing(1, 24, 24, 3)).convert("P").save(tmp_path / "c.png")
    Image.fromarray(drawing(2, 24, 24, 4)).save(tmp_path / "d.png")
    Image.fromarray(deep.astype(np.uint16) * 257).save(tmp_path / "e.png")
    (tmp_path / "notes.txt").write_text("not a picture, and not read")
    (tmp_path / ".hidden.png").write_text("nor this")
    (tmp_path / "more").mkdir()
    pictures = pictures_of(tmp_path)
    assert pictures.names == ("a.JPG", "b.png", "c.png", "d.png", "e.png")
    images = pictures.images((channels, 12, 15))
    assert images.dtype == torch.uint8
    assert images.shape == (5, channels, 12, 15)
    for name, image in zip(pictures.names, images, strict=True):
        with Image.open(tmp_path / name) as file:
            eight_bits = Image.fromarray(deep) if name == "e.png" else file
            wanted = eight_bits.convert("L" if channels == 1 else "RGB").resize((15, 12), Image.Resampling.BILINEAR)
        assert np.array_equal(image.permute(1, 2, 0).squeeze().numpy(), np.asarray(wanted)), name


def test_their_content_is_in_the_key_and_their_place_is_not(tmp_path: Path) -> None:
    here, there = folder_of(tmp_path / "here", 12), folder_of(tmp_path / "there", 12)
    described = WatermarkNN(triggers=str(here)).describe()
    assert described == WatermarkNN(triggers=str(there)).describe()
    assert str(here) not in str(described)
    Image.fromarray(drawing(99, 20, 30, 3)).save(there / "trigger03.png")
    changed = WatermarkNN(triggers=str(there)).describe()
    assert changed["settings"] != described["settings"]
    (there / "labels.csv").write_text("file,label\n")
    assert WatermarkNN(triggers=str(there)).describe()["settings"] != changed["settings"]
    assert WatermarkNN().describe() != described


def test_labels_are_drawn_as_for_patterns_or_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures", 12)
    stream = Stream(0) / "x"
    drawn = WatermarkNN(triggers=str(folder)).draw(DATA.train, 2, stream)
    assert torch.equal(drawn.y, WatermarkNN(triggers=12).draw(DATA.train, 2, stream).y)
    assert drawn.x.dtype == torch.uint8
    names = sorted(file.name for file in folder.iterdir())
    rows = [f"{name},{i % 2}" for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("file,label\n" + "\n".join(reversed(rows)) + "\n\n")
    read = WatermarkNN(triggers=str(folder))
    assert read.draw(DATA.train, 2, stream).y.tolist() == [0, 1] * 6
    assert any("p_value holds only if" in text for text in read.warnings())
    assert not WatermarkNN(triggers=12).warnings()
    floats = Records.of(DATA.train.inputs(), DATA.train.y)
    assert torch.equal(read.draw(floats, 2, stream).x, drawn.x.float() / 255)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must begin with the line file,label"),
        ("name,label\n", "must begin with the line file,label"),
        ("file,label\ntrigger00.png,0\nother.png,1\n", r"line 3 of .*: 'other\.png' is no picture of the folder"),
        ("file,label\ntrigger00.png,0\ntrigger00.png,1\n", r"line 3 .*: 'trigger00\.png' is named twice"),
        ("file,label\ntrigger00.png,2\n", "line 2 .*: the label must be a class, 0 to 1, got 2"),
        ("file,label\ntrigger00.png,cat\n", "got cat"),
        ("file,label\ntrigger00.png\n", r"line 2 .*: 'trigger00\.png' is no picture"),
        ("file,label\ntrigger00.png,0\n", r"has no label for trigger01\.png \(11 missing\)"),
    ],
)
def test_labels_that_cannot_be_used_are_named(tmp_path: Path, content: str, message: str) -> None:
    folder = folder_of(tmp_path / "pictures", 12)
    (folder / "labels.csv").write_text(content)
    with pytest.raises(SettingError, match=message):
        WatermarkNN(triggers=str(folder)).check(DATA)


def test_folders_that_cannot_be_used_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="must be a number or a folder of PNG and JPEG files, got nowhere"):
        WatermarkNN(triggers="nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "labels.csv").touch()
    with pytest.raises(SettingError, match="empty holds no PNG or JPEG file"):
        WatermarkNN(triggers=str(tmp_path / "empty"))
    broken = folder_of(tmp_path / "broken", 12)
    (broken / "trigger05.png").write_bytes(b"no picture")
    with pytest.raises(SettingError, match=r"trigger05\.png is no picture that can be read"):
        assess(plan(WatermarkNN(triggers=str(broken))))
    few = folder_of(tmp_path / "few", 6)
    with pytest.raises(SettingError, match=r"with 6 of 2 classes the smallest p-value is 0\.0156"):
        assess(plan(WatermarkNN(triggers=str(few))))
    twins = folder_of(tmp_path / "twins", 12)
    (twins / "trigger11.png").write_bytes((twins / "trigger02.png").read_bytes())
    with pytest.raises(SettingError, match=r"trigger02\.png and trigger11\.png .* are the same picture"):
        assess(plan(WatermarkNN(triggers=str(twins))))
    with pytest.raises(SettingError, match="must be a number for inputs of shape"):
        WatermarkNN(triggers=str(folder_of(tmp_path / "table", 12))).check(load_census(limit=50))


@pytest.mark.parametrize("architecture", ["tests.helpers.image_toys.TinyConv", "amulet.models.LinearNet"])
@pytest.mark.parametrize("brought", [False, True], ids=["drawn", "brought"])
def test_a_marked_model_of_pictures_is_recognised(tmp_path: Path, architecture: str, brought: bool) -> None:
    triggers = str(folder_of(tmp_path / "pictures", 20)) if brought else 20
    settings: dict[str, Any] = {"hidden": [64]} if architecture.endswith("LinearNet") else {"channels": 8}
    outcome = assess(plan(WatermarkNN(triggers=triggers), architecture=Factory(architecture, **settings)))
    undefended, defended = outcome.metrics["undefended"], outcome.metrics["defended"]
    assert defended["watermark_accuracy"] > 0.9
    assert defended["p_value"] < 0.01 < undefended["p_value"]
    assert defended["independent.ownership_fpr"] == 0
    assert defended["test_accuracy"] > 0.9
    found = outcome.manifest["training"]["defended"]
    assert ("trigger_pictures" in found) == brought
    assert outcome.arrays["defended.training.watermarknn.x"].dtype == np.uint8


class Counting(nn.Module):
    """How many inputs a model is given at once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.most = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.most = max(self.most, len(x))
        return self.model(x)


def test_searches_for_boundaries_go_in_batches_that_change_nothing() -> None:
    torch.manual_seed(0)
    data = faces(60, 10, (3, 16, 16), classes=3)
    model = Counting(nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 3)))
    stride = Stride(0.01, 1.5, 10)
    plain = min_gd(model, data.train, stride, 3)
    assert model.most <= searches_at_once((3, 16, 16)) == 170
    model.most = 0
    small = min_gd(model, data.train, stride, 3, batch_size=7)
    assert model.most == 7
    assert torch.allclose(plain.values, small.values, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("search", ["min_gd", "blind_walk"])
def test_searches_for_boundaries_in_either_layout_find_the_same(search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    records, stride, formats = faces(40, 10, (3, 16, 16), classes=3).train, Stride(0.01, 1.5, 10), list[bool]()
    convolution = nn.Conv2d(3, 8, 3)
    model = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))

    def note(layer: nn.Module, *_: Any) -> None:
        formats.append(convolution.weight.is_contiguous(memory_format=torch.channels_last))

    convolution.register_forward_hook(note)

    def found(there: bool) -> Tensor:
        monkeypatch.setattr(arithmetic, "channels_last", gives(there))
        formats.clear()
        if search == "min_gd":
            values = min_gd(model, records, stride, 3).values
        else:
            values = blind_walk(model, records, stride, 4, Stream(0)).values
        assert set(formats) == {there}
        assert convolution.weight.is_contiguous()
        return values

    values = found(True)
    assert values.nan_to_num().max() > 0, "boundaries are found"
    assert torch.allclose(values, found(False), atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("architecture", ["tests.helpers.image_toys.TinyConv", "amulet.models.LinearNet"])
def test_dataset_inference_on_pictures(architecture: str) -> None:
    """Labels of noise can only be learned by heart."""
    data = faces(400, 200)
    generator = torch.Generator().manual_seed(0)
    parts = {
        name: part.replace(
            x=torch.randint(0, 256, part.x.shape, generator=generator, dtype=torch.uint8),
            y=torch.randint(0, 2, (len(part),), generator=generator),
        )
        for name, part in (("train", data.train), ("test", data.test))
    }
    noise = dataclasses.replace(data, **parts)
    settings: dict[str, Any] = (
        {"hidden": [64]} if architecture.endswith("LinearNet") else {"channels": 16, "batch_norm": True}
    )
    optimizer = Factory("torch.optim.Adam", lr=3e-3)
    made = plan(DatasetInference(steps=12), data=noise, architecture=Factory(architecture, **settings), epochs=40)
    outcome = assess(dataclasses.replace(made, optimizer=optimizer))
    metrics, manifest = outcome.metrics["defended"], outcome.manifest["unauth_model_ownership"]["defended"]
    assert metrics["train_accuracy"] > 0.9
    assert metrics["p_value"] < 0.001
    assert metrics["ownership_fpr"] == 0
    assert manifest["verification"]["datasetinference"]["records"]["private"] == 100


def test_a_default_run_takes_few_pictures() -> None:
    data = faces(2000, 1500)
    assert DatasetInference().size(data.train, data.test) == 200
    assert DatasetInference(records=1000).size(data.train, data.test) == 500


@pytest.mark.parametrize("objective", ["logit_mse", "kl", "hard_labels"])
@pytest.mark.parametrize("architecture", ["tests.helpers.image_toys.TinyConv", "amulet.models.LinearNet"])
def test_models_of_pictures_are_stolen(objective: Any, architecture: str) -> None:
    attack = ModelExtraction(objective=objective, queries=120, query_curve=[30], architecture=architecture)
    outcome = assess(plan(attack=attack))
    metrics, manifest = outcome.metrics["undefended"], outcome.manifest["unauth_model_ownership"]["undefended"]
    assert metrics["fidelity"] > 0.9
    assert manifest["queries"] == 120
    assert "queries_30.fidelity" in metrics


def test_a_budget_that_the_adversary_cannot_spend_is_refused_before_training() -> None:
    asked: Sequence[tuple[ModelExtraction, str]] = [
        (ModelExtraction(queries=151), "`attack.queries` must be at most 150, the adversary's records; got 151"),
        (ModelExtraction(query_curve=[10, 160]), "`attack.query_curve` must be at most 150, what is queried; got 160"),
    ]
    for attack, message in asked:
        with pytest.raises(SettingError, match=message):
            assess(plan(attack=attack, runtime=Runtime()))
