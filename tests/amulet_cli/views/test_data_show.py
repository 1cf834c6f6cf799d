"""`amulet data show`: the words below a picture are those of that picture, and no file of others is overwritten."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from amulet.core.stream import Stream
from amulet.datasets import AmuletDataset, Records, load_celeba, load_custom, load_lfw
from amulet.datasets.assemble import assemble
from amulet_cli.base import console
from amulet_cli.base.errors import UsageError
from amulet_cli.commands import data as verb
from amulet_cli.views import contact_sheet
from amulet_cli.views.contact_sheet import captions, check_target, class_name, grid, sample, save_sheet, value_name
from tests.helpers.face_toys import CELEBA_COLUMNS, make_celeba, make_lfw, seen

Said = Callable[..., str]


@pytest.fixture
def said(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    assert workdir.is_dir()

    def run(*words: str, code: int = 0) -> str:
        assert verb.main(list(words)) == code
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def lfw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lfw(tmp_path_factory.mktemp("lfw"))


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_celeba(tmp_path_factory.mktemp("celeba"))


def drawn(data: AmuletDataset, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Image.Image, list[str]]]:
    """Each picture of the sheet as it stands there, with the words below it."""
    texts: list[tuple[float, float, str]] = []
    write = ImageDraw.ImageDraw.text

    def noted(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, *more: object) -> None:
        texts.append((xy[0], xy[1], text))
        write(self, xy, text, *more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    sheet = grid(data)
    numbers = [(left, top) for left, top, text in texts if text.startswith("#")]
    height, width = data.shape[1:]
    scale = -(-112 // height)
    found: list[tuple[Image.Image, list[str]]] = []
    for left, top in numbers:
        picture = sheet.crop((int(left), int(top) - 2 - height * scale, int(left) + width * scale, int(top) - 2))
        below = sorted((y, text) for x, y, text in texts if x == left and top < y < top + 60)
        found.append((picture, [text for _, text in below]))
    return found


def bits(picture: Image.Image) -> list[int]:
    return seen(np.asarray(picture).transpose(2, 0, 1)[None])[0].tolist()


def test_the_words_below_a_picture_of_lfw_are_its_own(lfw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_lfw(root=str(lfw), sensitive=["race", "gender"], test_fraction=0.2)
    found = drawn(data, monkeypatch)
    words = [("younger", "older"), ("not white", "white"), ("female", "male")]
    assert len(found) == sum(data.train.y.bincount().clamp(max=20).tolist())
    for picture, below in found:
        assert below == [pair[bit] for pair, bit in zip(words, bits(picture), strict=True)]
    assert len({tuple(below) for _, below in found}) > 4


def test_the_words_below_a_picture_of_celeba_are_its_own(celeba: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_celeba(root=str(celeba), sensitive=["Male", "Young"])
    found = drawn(data, monkeypatch)
    assert len(found) > 30
    for picture, below in found:
        smiling, male, young = (["not ", ""][bit] for bit in bits(picture))
        assert below == [f"{smiling}Smiling", f"{male}Male", f"{young}Young"]


def test_grey_pictures_of_classes_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    y = torch.arange(300) % 3
    x = (y * 80).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 28, 28).contiguous()
    z = (y == 1).long().unsqueeze(1)
    data = assemble(
        name="grey",
        modality="image",
        x=x,
        y=y,
        z=z,
        attributes=("odd",),
        parts=(torch.arange(200), torch.arange(200, 300)),
        num_classes=3,
        origin="grey",
        stream=Stream(0),
    )
    found = drawn(data, monkeypatch)
    assert len(found) == 39
    for picture, below in found:
        level = int(np.asarray(picture)[0, 0, 0])
        assert below == [f"class {level // 80}", f"odd {int(level == 80)}"]


def test_names_come_from_the_loader_where_it_has_some() -> None:
    x = torch.zeros(2, 3, 4, 4)
    records = Records.of(x, torch.tensor([0, 1]), torch.tensor([[2], [1]]), ("hair",))
    notes = {"labels": ["no", "yes"], "values": {"hair": ["none", "short", "long"]}}
    data = AmuletDataset(
        name="toy",
        modality="image",
        train=records,
        test=Records(x, records.y, records.z, records.ids + 2, records.attributes),
        num_classes=2,
        notes=notes,
    )
    assert [captions(data, records, i) for i in (0, 1)] == [["no", "long"], ["yes", "short"]]
    assert class_name(data, 5) == "class 5"
    assert value_name(data, "eyes", 1) == "eyes 1"


def test_the_sample_has_as_many_of_each_class_as_there_are() -> None:
    y = torch.cat([torch.zeros(500), torch.ones(3), torch.full((500,), 2)]).long()
    chosen = sample(y, 3, most=30)
    assert y[chosen].bincount().tolist() == [10, 3, 10]
    assert len(chosen.unique()) == len(chosen)
    assert chosen[:10].tolist()[-1] == 499  # far apart, not the first ten
    assert len(sample(torch.arange(100), 100)) == 40


def test_the_sheet_goes_to_the_working_directory_and_over_an_older_sheet(said: Said, lfw: Path, workdir: Path) -> None:
    text = said("show", "lfw", f"root={lfw}", "target=gender", "sensitive=[race]")
    assert f"pictures    {workdir / 'lfw.png'}" in text
    assert "classes     0 female, 1 male" in text
    assert "race (0 not white, 1 white)" in text
    assert "`dataset.split=person`" in text
    with Image.open(workdir / "lfw.png") as sheet:
        first = sheet.size
    said("show", "lfw", f"root={lfw}", "sensitive=[]")
    with Image.open(workdir / "lfw.png") as sheet:
        assert sheet.size != first  # fewer lines below each


def test_a_file_of_others_is_not_overwritten(said: Said, lfw: Path, workdir: Path) -> None:
    for name, content in (("holiday.png", None), ("lfw.png", b"text")):
        file = workdir / name
        if content is None:
            Image.new("RGB", (3, 3)).save(file)
        else:
            file.write_bytes(content)
        before = file.read_bytes()
        more = ["--save", name] if content is None else []
        with pytest.raises(UsageError, match=f"`{name}` is there already") as error:
            said("show", "lfw", f"root={lfw}", *more)
        assert error.value.try_ == "--save OTHER.png"
        assert file.read_bytes() == before
    said("show", "lfw", f"root={lfw}", "--save", str(workdir / "new" / "sheet.png"))
    check_target(workdir / "new" / "sheet.png")


def test_a_folder_that_cannot_be_written_is_told(workdir: Path) -> None:
    (workdir / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        save_sheet(Image.new("RGB", (3, 3)), workdir / "file" / "sheet.png")


def test_long_words_are_cut_to_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    def long_name(data: AmuletDataset, label: int) -> str:
        return "w" * 60

    monkeypatch.setattr(contact_sheet, "class_name", long_name)
    x = torch.rand(4, 3, 8, 8)
    records = Records.of(x, torch.tensor([0, 1, 0, 1]))
    data = AmuletDataset(
        name="toy",
        modality="image",
        train=records,
        test=Records(x, records.y, records.z, records.ids + 4),
        num_classes=2,
    )
    texts = [below for _, below in drawn(data, monkeypatch)]
    assert all(word.endswith("…") and len(word) < 20 for [word] in texts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "lfw", "traget=age"], "`traget` is no setting of this data set"),
        (["show", "lfw", "split=people"], "`dataset.split` must be one of random, person, got 'people'"),
        (["show", "lfw", "sensitive=[race"], "`sensitive=[race`: the value cannot be read"),
        (["show", "lfw", "census", "target=age"], "`target=age` is for one data set, got 2"),
        (["show", "lfw", "census", "--save", "x.png"], "`--save` is for one data set, got 2"),
        (["show", "census", "--save", "x.png"], "`--save` is for pictures, and census is a table"),
        (["show", "custom", "path=a.csv"], "`custom` needs target=..."),
        (["show", "custom", "--json"], "`--json` is for list, verify and path, not for `amulet data show`"),
        (["show", "custom", "lfw"], "`amulet data show` must name nothing else beside custom, got 2 names"),
        (["path", "custom"], "There is no data set `custom`"),
        (["list", "--save", "x.png"], "`--save` is for `amulet data show`, not for `amulet data list`"),
        (["path", "lfw", "target=age"], "`target=age` is for `amulet data show`, not for `amulet data path`"),
    ],
)
def test_mistakes_are_told(said: Said, words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        said(*words)
    assert error.value.what == message


def test_of_several_those_that_are_not_here_are_only_named(said: Said) -> None:
    text = said("show", "census", "celeba", "lfw")
    assert "census: UCI Adult" in text
    assert "celeba: not here; amulet data fetch celeba" in text
    assert "lfw: not here; amulet data fetch lfw" in text


def test_a_users_own_table_is_shown_as_it_was_read(said: Said, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "width", 160)
    jobs = ("baker", "clerk", "actor")
    lines = [
        f"{20 + i % 30},{i % 7 * 0.5},{jobs[i % 3]},2024-01-{1 + i % 28:02d},{'fm'[i % 2]},{i // 2 % 2}"
        for i in range(80)
    ]
    (workdir / "my.csv").write_text("\n".join(["age,rate,job,seen,sex,risk", *lines]))
    chosen = ["path=my.csv", "dataset.target=risk", "sensitive=[sex]"]
    text = said("show", "custom", *chosen)
    data = load_custom(path="my.csv", target="risk", sensitive=["sex"])
    assert text.startswith("custom: my.csv\n")
    for part in ("classes     0 0, 1 1", "sex (0 f, 1 m)", "`seen` is read as dates", *data.notes["checksum"].values()):
        assert part in text
    rows = [line.split() for line in text.partition("inputs in order")[2].splitlines()[1:]]
    assert [row[0] for row in rows] == ["age", "rate", "job", "seen"]
    low, high, _ = data.scales["age"]
    assert rows[0][-3:] == [f"{low:.0f}", "to", f"{high:.0f}"]
    assert rows[0][2:5] == [f"{value:.3f}" for value in data.train.inputs(slice(0, 3))[:, 0].tolist()]
    assert rows[1][-3:] == ["0", "to", "3"]
    assert rows[2][1:4] == ["one", "of", "3"]
    assert rows[2][-3:] == ["actor,", "baker,", "clerk"]


def test_an_attribute_of_celeba_can_be_looked_at(said: Said, celeba: Path, workdir: Path) -> None:
    said("show", "celeba", f"dataset.root={celeba}", f"target={CELEBA_COLUMNS[0]}", "--save", "sheet.png")
    assert (workdir / "sheet.png").stat().st_size > 1000
