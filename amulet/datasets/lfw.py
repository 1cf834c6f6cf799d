"""Labeled Faces in the Wild: photographs of public figures, with attribute scores from classifiers."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from amulet.core.errors import DataError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset
from amulet.datasets.catalog import LFW as INFO
from amulet.datasets.checksums import md5_of
from amulet.datasets.lfw_attributes import Record, parse
from amulet.datasets.locations import find
from amulet.datasets.people import known_faces, split_by_person
from amulet.datasets.pictures import also_sensitive, check_both_occur, decode, mapped, pick, pick_all, prepared
from amulet.datasets.split import stratified_split

_IMAGES, _ATTRIBUTES = INFO.files
_SIDE = 250
_CROP = (78, 70, 172, 195)  # left, upper, right, lower: scikit-learn's slice_ of fetch_lfw_people
_SIZE = (62, 47)  # height, width: its resize=0.5
_FILE = re.compile(r"(.+)_(\d{4})\.jpe?g")


def load_lfw(
    *,
    root: str | None = None,
    target: str = "age",
    sensitive: Sequence[str] = ("race", "gender"),
    scores: Literal["all", "paper"] = "all",
    split: Literal["random", "person"] = "random",
    test_fraction: float = 0.5,
    limit: int | None = None,
    split_seed: int = 0,
) -> AmuletDataset:
    """Colour crops (3, 62, 47) of faces, as bytes; is a person middle-aged or older (1), or younger (0)?

    The crops are those of scikit-learn's `fetch_lfw_people(color=True)`; flattened they are the paper's 8,742 values.
    Each has 73 attributes, scored by Kumar et al.'s classifiers (ICCV 2009) and joined by person and image number.
    An attribute is 1 if its score is above 0. Three are derived from several scores: `gender` is Male (1) or not;
    `age` is 1 if Middle Aged or Senior has the highest of the scores Baby, Child, Youth, Middle Aged, Senior; `race` is
    1 if White has the highest of White, Black, Asian, Indian.

    Args:
        root: a folder with `lfw_funneled` and `lfw_attributes.txt`, directly or in `lfw_home`; the cache or a download
            if not given.
        target: `age`, `gender`, `race`, or any of the 73 attributes, such as `Smiling` or `wavy_hair`.
        sensitive: which of the same names are sensitive attributes.
        scores: `paper` derives `age` and `race` like the code of the paper's authors and Melis et al. (IEEE S&P 2019):
            race from the scores White and Black only, and without the records that have no score of at least -0.1 among
            the relevant ones.
        split: `random` splits by image, like the paper: most people are in both parts. `person` puts all images of a
            person into one part.
        test_fraction: the share of test records, in (0, 1); with `split: person` as close as possible.
        limit: at most this many training and this many test records, stratified; for quick trials.
        split_seed: which split into train and test; the same for every run, whatever its seed.

    Raises:
        DataError: a file is missing, damaged or not in the format. Images without attributes and attributes without
            an image are left out and counted in the notes.
        SettingError: there is no such attribute.
    """
    one_of("scores", scores, ("all", "paper"))
    one_of("split", split, ("random", "person"))
    in_range("test_fraction", test_fraction, above=0, below=1)
    in_range("limit", limit, 20, optional=True)
    place = find(INFO, root)
    images, file = place.file(_IMAGES), place.file(_ATTRIBUTES)
    content = _content(file)
    table = parse(content, file)
    target = pick("target", target, table.known)
    sensitive = pick_all("sensitive", sensitive, table.known)

    pictures, state = _listed(images)
    records = list(pictures)
    scored = [i for i, record in enumerate(records) if record in table.rows]
    if not scored:
        raise DataError(f"{file}: has attributes of none of the {len(pictures):,} pictures in {images}")
    rows = np.array([table.rows[records[i]] for i in scored])
    certain = np.full(len(rows), True)
    if scores == "paper":
        for name in (target, *sensitive):
            certain &= table.certain(name)[rows]
    kept, rows = np.array(scored)[certain], rows[certain]
    if not len(kept):
        raise DataError(f"{file}: all scores are below what `scores: paper` asks for; use `scores: all`")
    values = {name: table.values(name, scores)[rows] for name in (target, *sensitive)}
    check_both_occur(values[target], target, str(file))
    x, digest = _crops(images, list(pictures.values()), state)
    y = torch.from_numpy(values[target])
    z = torch.from_numpy(np.array([values[name] for name in sensitive], np.int64).reshape(len(sensitive), len(kept)).T)
    people = torch.from_numpy(np.unique([records[i][0] for i in kept], return_inverse=True)[1])

    stream = Stream(split_seed) / "lfw"
    generator = (stream / "split" / split).generator()
    if split == "person":
        parts = split_by_person(people, y, test_fraction, generator)
    else:
        test = min(max(round(len(y) * test_fraction), 1), len(y) - 1)
        parts = stratified_split(y, [len(y) - test, test], generator)
    settings = f"{target} {' '.join(sensitive)} {scores} {split} {test_fraction} {split_seed}"
    data = assemble(
        name="lfw",
        modality="image",
        x=x[torch.from_numpy(kept)],
        y=y,
        z=z,
        attributes=sensitive,
        parts=parts,
        num_classes=2,
        origin=f"lfw {digest} {md5_of(content)} {settings}",
        stream=stream,
        limit=limit,
        labels=table.words(target),
        values={name: table.words(name) for name in sensitive},
        notes={
            "checksum": {_ATTRIBUTES: md5_of(content), "pixels": f"sha256:{digest}"},
            "licence": INFO.licence,
            "target": target,
            "scores": scores,
            "split": split,
            "split_seed": split_seed,
            "people": len(people.unique()),
            "pictures_without_attributes": len(pictures) - len(scored),
            "attributes_without_picture": len(table.rows) - len(scored),
            "left_out_as_uncertain": len(scored) - len(kept),
        },
    )
    train, test = people[data.train.ids], people[data.test.ids]
    return dataclasses.replace(
        data, warnings=(*data.warnings, *known_faces(train, test), *also_sensitive(target, sensitive))
    )


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def _listed(folder: Path) -> tuple[dict[Record, str], str]:
    """The images by person and number, in that order, and a text that changes with any of them."""
    found: list[tuple[Record, str, str]] = []
    for person in os.scandir(folder):
        if not person.is_dir():
            continue
        for entry in os.scandir(person.path):
            match = _FILE.fullmatch(entry.name)
            if match and match[1] == person.name:
                known = entry.stat()
                state = f"{entry.name} {known.st_size} {known.st_mtime_ns}"
                found.append(((person.name, int(match[2])), entry.path, state))
    if not found:
        raise DataError(f"{folder}: holds no picture; expected Aaron_Eckhart/Aaron_Eckhart_0001.jpg and so on")
    found.sort()
    return {record: path for record, path, _ in found}, "\n".join(state for _, _, state in found)


def _crops(folder: Path, paths: Sequence[str], state: str) -> tuple[Tensor, str]:
    """All images of a folder as bytes (n, 3, 62, 47), and the SHA-256 of those bytes."""

    def fill(target: Path) -> None:
        digest = decode(paths, target / "pixels.npy", _SIZE, _crop, "lfw")
        (target / "digest").write_text(digest, encoding="ascii")

    kept = prepared("lfw", f"{folder.resolve()} {_CROP} {_SIZE}", hashlib.sha256(state.encode()).hexdigest(), fill)
    return torch.from_numpy(mapped(kept / "pixels.npy")), (kept / "digest").read_text(encoding="ascii")


def _crop(picture: Image.Image) -> Image.Image:
    if picture.size != (_SIDE, _SIDE):
        raise ValueError(f"it is {picture.width} x {picture.height}, expected {_SIDE} x {_SIDE}")
    height, width = _SIZE
    return picture.crop(_CROP).resize((width, height))
