"""LFW: the crops of scikit-learn, each with the attributes of its own picture, whatever the order of the files."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from amulet.core.errors import DataError, SettingError
from amulet.datasets import AmuletDataset, load_lfw, pictures
from amulet.datasets.people import split_by_person
from tests.helpers.face_toys import LFW_COLUMNS, PEOPLE, lfw_line, make_lfw, paint, seen

REAL = ("Angelina_Jolie", "Jennifer_Capriati", "Tiger_Woods", "Laura_Bush", "Junichiro_Koizumi")


def every(data: AmuletDataset) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, and label and sensitive attributes side by side, of training and test records."""
    parts = (data.train, data.test)
    x = np.concatenate([part.x.numpy() for part in parts])
    return x, np.concatenate([torch.cat([part.y.unsqueeze(1), part.z], dim=1).numpy() for part in parts])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lfw(tmp_path_factory.mktemp("lfw"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return make_lfw(tmp_path, {"Ann_Ash": 4, "Bo_Berg": 2})


@pytest.fixture(scope="module")
def real(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some people of the real data, in a folder that may be written to."""
    source, root = data_folder / "lfw", tmp_path_factory.mktemp("real-lfw")
    home = root / "lfw_home"
    (home / "lfw_funneled").mkdir(parents=True)
    for person in REAL:
        (home / "lfw_funneled" / person).symlink_to(source / "lfw_home" / "lfw_funneled" / person)
    for file in (source / "lfw_home").glob("pairs*.txt"):
        shutil.copy(file, home)
    shutil.copy(source / "lfw_attributes.txt", root)
    return root


def attributes(root: Path) -> Path:
    return root / "lfw_home" / "lfw_attributes.txt"


def test_every_picture_has_its_own_label_and_attributes(made: Path) -> None:
    data = load_lfw(root=str(made))
    x, values = every(data)
    assert x.shape == (sum(PEOPLE.values()), 3, 62, 47)
    assert x.dtype == np.uint8
    assert (seen(x) == values).all()
    # A shift by one row would be seen: neighbours in the folder differ.
    folder = torch.cat([data.train.ids, data.test.ids]).argsort().numpy()
    assert (seen(x[folder]) != np.roll(values[folder], 1, axis=0)).mean() > 0.2


def test_real_pictures_have_the_attributes_of_an_independent_join(real: Path) -> None:
    table = pd.read_csv(real / "lfw_attributes.txt", sep="\t", skiprows=1)
    table.columns = [*table.columns[1:], "none"]  # the line of names begins with a column "#"
    ages = table[["Baby", "Child", "Youth", "Middle Aged", "Senior"]].idxmax(axis=1).astype(str).tolist()
    races = table[["White", "Black", "Asian", "Indian"]].idxmax(axis=1).astype(str).tolist()
    expected: dict[str, tuple[int, int, int]] = {}
    for row, age, race in zip(table.to_dict("records"), ages, races, strict=True):
        name = str(row["person"]).replace(" ", "_")
        file = real / "lfw_home" / "lfw_funneled" / name / f"{name}_{int(row['imagenum']):04d}.jpg"
        if name in REAL:
            pixels = np.asarray(Image.open(file))[70:195, 78:172]
            small = np.asarray(Image.fromarray(pixels).resize((47, 62))).transpose(2, 0, 1)
            digest = hashlib.sha256(small.tobytes()).hexdigest()
            expected[digest] = (int(age in ("Middle Aged", "Senior")), int(race == "White"), int(row["Male"] > 0))
    data = load_lfw(root=str(real))
    x, values = every(data)
    found = [expected[hashlib.sha256(picture.tobytes()).hexdigest()] for picture in x]
    assert len(x) == len(expected) > 100
    assert values.tolist() == [list(value) for value in found]
    assert data.notes["attributes_without_picture"] == len(table) - len(x)


def test_real_crops_are_those_of_scikit_learn(real: Path) -> None:
    from sklearn.datasets import fetch_lfw_people

    theirs: Any = fetch_lfw_people(data_home=real, color=True, download_if_missing=False)
    reference = np.round(theirs.images * 255).astype(np.uint8).transpose(0, 3, 1, 2).reshape(len(theirs.images), -1)
    x, _ = every(load_lfw(root=str(real)))
    ours = x.reshape(len(x), -1)
    assert ours.shape[1] == 8742
    assert np.abs(theirs.images * 255 - np.round(theirs.images * 255)).max() < 1e-3
    assert (np.unique(ours, axis=0) == np.unique(reference, axis=0)).all()


@pytest.mark.parametrize(("home", "header"), [("lfw_home", "clean"), (".", "raw"), (".", "clean")])
def test_layouts_and_headers_give_the_same_records(tmp_path: Path, made: Path, home: str, header: str) -> None:
    first, second = (
        every(load_lfw(root=str(made))),
        every(load_lfw(root=str(make_lfw(tmp_path, home=home, header=header)))),
    )
    assert all((one == other).all() for one, other in zip(first, second, strict=True))


def test_windows_line_ends_and_empty_lines_do_no_harm(copy: Path) -> None:
    before = every(load_lfw(root=str(copy)))
    file = attributes(copy)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert (every(load_lfw(root=str(copy)))[1] == before[1]).all()


def test_what_lacks_its_counterpart_is_left_out_and_counted(copy: Path) -> None:
    lines = attributes(copy).read_text().splitlines()
    gone = [line for line in lines if not line.startswith(("Ann Ash\t2\t", "Bo Berg\t1\t"))]
    attributes(copy).write_text("\n".join([*gone, lfw_line("Zoe_Zorn", 3, (1, 1, 0))]))
    data = load_lfw(root=str(copy))
    x, values = every(data)
    assert len(x) == 4
    assert (seen(x) == values).all()
    assert data.notes["pictures_without_attributes"] == 2
    assert data.notes["attributes_without_picture"] == 1
    assert data.notes["people"] == 2


@pytest.mark.parametrize("name", ["Smiling", "smiling", "SMILING", "middle aged", "Middle_Aged"])
def test_any_single_attribute_is_a_score_above_zero(tmp_path: Path, name: str) -> None:
    root = make_lfw(tmp_path, {"Ann_Ash": 2, "Bo_Berg": 2})
    lines = attributes(root).read_text().splitlines()[:2]
    scores = {("Ann_Ash", 1): 0.2, ("Ann_Ash", 2): -0.2, ("Bo_Berg", 1): 0.01, ("Bo_Berg", 2): 0.0}
    column = "Smiling" if name.lower() == "smiling" else "Middle Aged"
    for (person, number), score in scores.items():
        bits = (1, int(score > 0), 0)  # green shows what is asked for
        paint(root / "lfw_home" / "lfw_funneled" / person / f"{person}_{number:04d}.jpg", bits, (250, 250))
        lines.append(lfw_line(person, number, bits, **{column: score}))
    attributes(root).write_text("\n".join(lines))
    data = load_lfw(root=str(root), target=name, sensitive=["MALE", name])
    x, values = every(data)
    assert (values[:, 0] == seen(x)[:, 1]).all()
    assert values[:, 0].sum() == 2
    assert data.attributes == ("male", column.lower().replace(" ", "_"))
    assert any("is the target and a sensitive attribute" in warning for warning in data.warnings)


def test_the_papers_labels_compare_white_and_black_and_leave_out_low_scores(tmp_path: Path) -> None:
    root = make_lfw(tmp_path, {"Ann_Ash": 4})
    low = dict.fromkeys(("White", "Black", "Asian", "Indian"), -0.5)
    rows = [
        lfw_line("Ann_Ash", 1, (1, 1, 1), **(low | {"White": 0.1, "Asian": 2.0})),  # White by the paper, not by ours
        lfw_line("Ann_Ash", 2, (0, 0, 1), **(low | {"Black": -0.1})),  # just high enough
        lfw_line("Ann_Ash", 3, (1, 1, 1), **(low | {"Asian": 1.0})),  # neither White nor Black
        lfw_line("Ann_Ash", 4, (1, 1, 1), Senior=-0.2),  # no age
    ]
    head = attributes(root).read_text().splitlines()[:2]
    attributes(root).write_text("\n".join([*head, *rows]))
    ours = load_lfw(root=str(root), sensitive=["race"], split_seed=1)
    paper = load_lfw(root=str(root), sensitive=["race"], scores="paper")
    race = {int(i): int(r) for part in (ours.train, ours.test) for i, r in zip(part.ids, part.z[:, 0], strict=True)}
    assert race == {0: 0, 1: 0, 2: 0, 3: 1}
    assert sorted(every(paper)[1].tolist()) == [[0, 0], [1, 1]]
    assert paper.notes["left_out_as_uncertain"] == 2


def test_a_random_split_is_stratified_and_warns_of_known_faces(made: Path) -> None:
    data = load_lfw(root=str(made), target="gender", sensitive=[], test_fraction=0.25)
    count = sum(PEOPLE.values())
    assert len(data.test) == round(count / 4)
    assert abs(data.test.y.float().mean() - data.train.y.float().mean()) < 0.1
    [warning] = data.warnings
    assert "`dataset.split=person`" in warning
    assert data.notes["split"] == "random"


def test_a_split_by_person_puts_nobody_into_both_parts(made: Path) -> None:
    owners = [person for person, count in sorted(PEOPLE.items()) for _ in range(count)]
    for seed in range(5):
        data = load_lfw(root=str(made), split="person", split_seed=seed)
        train, test = ({owners[i] for i in part.ids.tolist()} for part in (data.train, data.test))
        assert train | test == set(PEOPLE)
        assert not train & test
        assert not data.warnings
    with pytest.raises(DataError, match="pictures of two people at least"):
        split_by_person(torch.zeros(3, dtype=torch.int64), torch.tensor([0, 1, 0]), 0.5, torch.Generator())


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=60),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_parts_by_person_are_disjoint_whole_and_near_the_share(counts: list[int], fraction: float, seed: int) -> None:
    people = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    y = people % 2
    train, test = split_by_person(people, y, fraction, torch.Generator().manual_seed(seed))
    assert torch.cat([train, test]).sort().values.tolist() == list(range(len(people)))
    assert not torch.isin(people[test], people[train]).any()
    assert len(train)
    assert len(test)
    assert abs(len(test) - fraction * len(people)) <= 2 * max(counts)  # of each class at most one person too many


def test_the_seed_of_the_split_decides_and_the_limit_is_kept(made: Path) -> None:
    first, again, other = (load_lfw(root=str(made), split_seed=seed) for seed in (0, 0, 1))
    assert first.train.ids.tolist() == again.train.ids.tolist() != other.train.ids.tolist()
    assert first.train.digest == again.train.digest != other.train.digest
    with pytest.raises(SettingError, match="`limit` must satisfy 20 <= limit"):
        load_lfw(root=str(made), limit=3)


def test_a_second_load_decodes_nothing_until_a_picture_changes(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, calls, inner = load_lfw(root=str(copy)), list[str](), pictures.decode

    def counted(*given: Any) -> str:
        calls.append("decode")
        return inner(*given)

    monkeypatch.setattr("amulet.datasets.lfw.decode", counted)
    load_lfw(root=str(copy), target="race", sensitive=[])
    assert not calls
    paint(copy / "lfw_home" / "lfw_funneled" / "Bo_Berg" / "Bo_Berg_0001.jpg", (1, 0, 0), (250, 250), quality=55)
    second = load_lfw(root=str(copy))
    assert calls
    assert first.notes["checksum"]["pixels"] != second.notes["checksum"]["pixels"]
    assert first.train.digest != second.train.digest


def shorten(root: Path) -> None:
    file = root / "lfw_home" / "lfw_funneled" / "Bo_Berg" / "Bo_Berg_0002.jpg"
    file.write_bytes(file.read_bytes()[:400])


def change_attributes(old: str, new: str, root: Path) -> None:
    text = attributes(root).read_text()
    assert old in text
    attributes(root).write_text(text.replace(old, new))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a truncated picture": (shorten, r"Bo_Berg_0002.jpg: this picture cannot be used: .*; get it again, or delete it"),
    "a picture that is none": (
        lambda root: (root / "lfw_home/lfw_funneled/Bo_Berg/Bo_Berg_0002.jpg").write_text("<html>"),
        r"Bo_Berg_0002.jpg: this picture cannot be used: no picture in a known format",
    ),
    "a picture of another size": (
        lambda root: paint(root / "lfw_home/lfw_funneled/Bo_Berg/Bo_Berg_0002.jpg", (1, 1, 1), (62, 47)),
        r"Bo_Berg_0002.jpg: .*it is 62 x 47, expected 250 x 250",
    ),
    "no pictures": (
        lambda root: [file.unlink() for file in root.rglob("*.jpg")],
        r"lfw_funneled: holds no picture; expected Aaron_Eckhart/Aaron_Eckhart_0001.jpg",
    ),
    "no attributes": (lambda root: attributes(root).unlink(), r"lfw_attributes.txt not found in .*`dataset.root`"),
    "no header": (
        lambda root: attributes(root).write_text("\n".join(attributes(root).read_text().splitlines()[2:])),
        r"lfw_attributes.txt, line 1: expected the names of the columns, person, imagenum, Male",
    ),
    "only remarks": (lambda root: attributes(root).write_text("# nothing\n"), r"has no line with the names"),
    "a header without rows": (
        lambda root: attributes(root).write_text("\n".join(attributes(root).read_text().splitlines()[:2])),
        r"names columns, but has no rows",
    ),
    "a header without Male": (lambda root: change_attributes("\tMale\t", "\tMan\t", root), r"names no column male"),
    "a header with a name twice": (
        lambda root: change_attributes("\tSmiling", "\tWhite", root),
        r"the column white twice",
    ),
    "a column too few": (
        lambda root: attributes(root).write_text(attributes(root).read_text().strip().rpartition("\t")[0]),
        r"lfw_attributes.txt, line 8: has 12 columns, expected 13",
    ),
    "a word for a score": (lambda root: change_attributes("\t-1.5\t", "\tlow\t", root), r"line 3: .*'low'"),
    "a score that is not finite": (
        lambda root: change_attributes("\t-1.5\t", "\tnan\t", root),
        r"line 3: .*not finite",
    ),
    "a picture twice": (
        lambda root: change_attributes("Bo Berg\t2\t", "Bo Berg\t1\t", root),
        r"picture 1 of Bo Berg for",
    ),
    "bytes that are no text": (lambda root: attributes(root).write_bytes(b"\xff\xfe\x00"), r"is no text"),
    "attributes of other people": (
        lambda root: change_attributes("Bo Berg", "Cy Cole", root) or change_attributes("Ann Ash", "Al Abt", root),
        r"has attributes of none of the 6 pictures",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_gives_one_message(copy: Path, name: str) -> None:
    damage, message = BROKEN[name]
    damage(copy)
    with pytest.raises(DataError, match=message):
        load_lfw(root=str(copy))


def test_a_target_with_one_value_is_refused(copy: Path) -> None:
    with pytest.raises(DataError, match="`smiling` is 0 for all 6 pictures"):
        load_lfw(root=str(copy), target="Smiling")


def test_scores_that_are_all_too_low_are_told(copy: Path) -> None:
    for score in ("1.0", "0.5", "0.3"):
        change_attributes(f"\t{score}\t", "\t-0.9\t", copy)
    with pytest.raises(DataError, match="below what `scores: paper` asks for"):
        load_lfw(root=str(copy), scores="paper")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "smilling"}, "`target` has no attribute smilling; did you mean smiling"),
        ({"target": "zzz"}, "`target` has no attribute zzz; expected one of age, gender, race, male, asian"),
        ({"sensitive": ["sex"]}, "`sensitive` has no attribute sex; expected one of age"),
        ({"sensitive": ["race", "Race"]}, "`sensitive` must name each attribute once, got race 2 times"),
        ({"split": "people"}, "`split` must be one of random, person; got people"),
        ({"scores": "none"}, "`scores` must be one of all, paper; got none"),
        ({"test_fraction": 1.0}, "`test_fraction` must satisfy 0 < test_fraction < 1, got 1.0"),
    ],
)
def test_wrong_settings_are_told(made: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        load_lfw(root=str(made), **settings)  # pyright: ignore[reportArgumentType]


def test_all_columns_can_be_named(made: Path) -> None:
    for column in LFW_COLUMNS:
        data = load_lfw(root=str(made), sensitive=[column])
        assert data.attributes == (column.lower().replace(" ", "_"),)
        assert data.notes["values"][data.attributes[0]][0].endswith(data.attributes[0].replace("_", " "))
