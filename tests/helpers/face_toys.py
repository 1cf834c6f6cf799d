"""Folders in the official formats of LFW and CelebA whose pictures show their own attributes as colours."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from amulet.datasets.celeba import INFO as CELEBA
from amulet.datasets.lfw import INFO as LFW

LFW_COLUMNS = (
    "Male",
    "Asian",
    "White",
    "Black",
    "Indian",
    "Baby",
    "Child",
    "Youth",
    "Middle Aged",
    "Senior",
    "Smiling",
)
CELEBA_COLUMNS = ("5_o_Clock_Shadow", "Male", "Smiling", "Wavy_Hair", "Young")
PEOPLE = {"Ann_Ash": 9, "Bo_Berg": 1, "Cy_Cole": 4, "Di_Dunn": 12, "Ed_Erb": 7, "Flo_Fox": 3}
SHOWN = ("Smiling", "Male", "Young")
"""The attributes of CelebA that red, green and blue show."""


def paint(path: Path, bits: Sequence[int], size: tuple[int, int], quality: int = 90) -> None:
    """A picture (width, height) of one colour: a channel is bright where its bit is 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(200 if bit else 40 for bit in bits)
    Image.new("RGB", size, (colour[0], colour[1], colour[2])).save(path, "JPEG", quality=quality, subsampling=0)


def seen(x: np.ndarray) -> np.ndarray:
    """The bits that pictures (n, 3, height, width) show: (n, 3)."""
    return (x.mean(axis=(2, 3)) > 120).astype(np.int64)


def lfw_line(person: str, number: int, bits: Sequence[int], **scores: float) -> str:
    """A row of the attributes: older, white and male as `bits` say."""
    older, white, male = (1.0 if bit else -1.0 for bit in bits)
    values = {"Senior": 0.5 * older, "Youth": -0.5 * older, "White": white, "Asian": -0.3 * white, "Male": male}
    values = {name: values.get(name, -1.5) for name in LFW_COLUMNS} | {"Smiling": -0.1 * number} | scores
    return "\t".join((person.replace("_", " "), str(number), *(repr(values[name]) for name in LFW_COLUMNS)))


def make_lfw(root: Path, people: Mapping[str, int] = PEOPLE, *, home: str = "lfw_home", header: str = "raw") -> Path:
    """A folder that `load_lfw` reads: red shows `age`, green `race`, blue `gender`; the rows are in no order."""
    rng = random.Random(3)
    lines: list[str] = []
    for person, count in people.items():
        male = rng.randrange(2)
        for number in range(1, count + 1):
            bits = (rng.randrange(2), rng.randrange(2), male)
            paint(root / home / "lfw_funneled" / person / f"{person}_{number:04d}.jpg", bits, (250, 250))
            lines.append(lfw_line(person, number, bits))
    rng.shuffle(lines)
    names = "\t".join(("person", "imagenum", *LFW_COLUMNS))
    heads = {"raw": f"# LFW attributes (Kumar et al.)\n#\t{names}\n", "clean": f"{names}\n", "none": ""}
    (root / home / "lfw_attributes.txt").write_text(heads[header] + "\n".join(lines) + "\n", encoding="utf-8")
    assert all((root / name).exists() for name in LFW.files if home == "lfw_home")
    return root


def make_celeba(
    root: Path, count: int = 60, *, home: str = "celeba", sizes: Sequence[tuple[int, int]] = ((178, 218),)
) -> Path:
    """A folder that `load_celeba` reads; the two lists are in orders of their own, parts 60, 20 and 20 %."""
    rng = random.Random(5)
    folder = root / home
    rows: list[str] = []
    parts: list[str] = []
    for i in range(count):
        name = f"{i + 1:06d}.jpg"
        bits = {column: rng.randrange(2) for column in CELEBA_COLUMNS}
        paint(folder / "img_align_celeba" / name, [bits[column] for column in SHOWN], sizes[i % len(sizes)])
        rows.append(f"{name} {' '.join(f'{2 * bits[column] - 1:2d}' for column in CELEBA_COLUMNS)}\n")
        parts.append(f"{name} {(0, 0, 0, 1, 2)[i % 5]}\n")
    rng.shuffle(rows)
    rng.shuffle(parts)
    head = f"{count}\n{' '.join(CELEBA_COLUMNS)} \n"
    (folder / "list_attr_celeba.txt").write_text(head + "".join(rows), encoding="ascii")
    (folder / "list_eval_partition.txt").write_text("".join(parts), encoding="ascii")
    assert all((root / name).exists() for name in CELEBA.files if home == "celeba")
    return root
