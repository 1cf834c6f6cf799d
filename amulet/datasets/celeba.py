"""CelebA: 202,599 photographs of celebrities with 40 binary attributes, memory-mapped from disk."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from amulet.core.errors import DataError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset
from amulet.datasets.catalog import CELEBA as INFO
from amulet.datasets.celeba_lists import PARTS, names_of, read_attributes, read_parts
from amulet.datasets.checksums import check_file, md5_of, unofficial
from amulet.datasets.folder import Place
from amulet.datasets.locations import find
from amulet.datasets.pictures import also_sensitive, check_both_occur, decode, mapped, pick, pick_all, prepared

_IMAGES, _ATTRIBUTES, _PARTS = INFO.files


def load_celeba(
    *,
    root: str | None = None,
    target: str = "Smiling",
    sensitive: Sequence[str] = ("Male",),
    image_size: int = 64,
    validation: Literal["unused", "train", "test"] = "unused",
    limit: int | None = None,
    split_seed: int = 0,
) -> AmuletDataset:
    """Faces (3, image_size, image_size), as bytes; does a person smile (1) or not (0)?

    The central square of each image, for CelebA's 178 x 218 the usual 178 x 178, is scaled to `image_size` with
    Pillow's bilinear filter: torchvision's `CenterCrop(178)` and `Resize(image_size)`. This is done once. The result is
    cached (202,599 x 3 x image_size^2 bytes: 2.5 GB for 64) and memory-mapped: loading takes almost no memory, and the
    operating system keeps in memory what training uses.

    The official split: 162,770 training, 19,867 validation and 19,962 test images; no person is in two parts.

    Args:
        root: a folder with `img_align_celeba`, `list_attr_celeba.txt` and `list_eval_partition.txt`, directly or in
            `celeba`; the cache or a download if not given. A part of the images is enough, with a warning in every
            result.
        target: one of the 40 attributes.
        sensitive: which of them are sensitive attributes.
        image_size: side of the square, at least 8.
        validation: the part that gets the validation images, if any.
        limit: at most this many training and this many test records, stratified; for quick trials.
        split_seed: which records `limit` takes.

    Raises:
        DataError: a file is missing, damaged or not in the format; a downloaded list is not the official one.
        SettingError: there is no such attribute.
    """
    one_of("validation", validation, ("unused", "train", "test"))
    in_range("image_size", image_size, 8)
    in_range("limit", limit, 20, optional=True)
    place = find(INFO, root)
    lists = {name: _content(place, name) for name in (_ATTRIBUTES, _PARTS)}
    checksums = {name: md5_of(content) for name, content in lists.items()}
    for name, checksum in checksums.items():
        check_file(INFO, place, name, checksum)
    known = names_of(lists[_ATTRIBUTES], place.file(_ATTRIBUTES))
    target = pick("target", target, known)
    sensitive = pick_all("sensitive", sensitive, known)

    def usable(counts: Sequence[int], table: npt.NDArray[np.integer]) -> list[torch.Tensor]:
        """The positions of the parts; refused before anything is decoded."""
        check_both_occur(table[:, known.index(target)], target, str(place.file(_ATTRIBUTES)))
        return _parts(counts, validation, place.file(_IMAGES))

    kept = _prepared(place, lists, " ".join(checksums.values()), image_size, usable)
    about = json.loads((kept / "about.json").read_text(encoding="utf-8"))
    table = mapped(kept / "attributes.npy")
    columns = [known.index(name) for name in (target, *sensitive)]
    values = torch.from_numpy(table[:, columns]).long()
    parts = usable(about["parts"], table)
    return assemble(
        name="celeba",
        modality="image",
        x=torch.from_numpy(mapped(kept / "pixels.npy")),
        y=values[:, 0],
        z=values[:, 1:],
        attributes=sensitive,
        parts=parts,
        num_classes=2,
        origin=f"celeba {about['digest']} {' '.join(checksums.values())} {target} {' '.join(sensitive)} "
        f"{image_size} {validation} {split_seed}",
        stream=Stream(split_seed) / "celeba",
        limit=limit,
        labels=_words(target),
        values={name: _words(name) for name in sensitive},
        warnings=(
            *unofficial(INFO, checksums),
            *_incomplete(about["found"], about["listed"]),
            *also_sensitive(target, sensitive),
        ),
        notes={
            "checksum": {**checksums, "pixels": f"sha256:{about['digest']}"},
            "licence": INFO.licence,
            "target": target,
            "image_size": image_size,
            "validation": validation,
            "split_seed": split_seed,
            "pictures": {"found": about["found"], "listed": about["listed"], "not_listed": about["not_listed"]},
        },
    )


def _prepared(
    place: Place,
    lists: Mapping[str, bytes],
    checksums: str,
    image_size: int,
    usable: Callable[[Sequence[int], npt.NDArray[np.integer]], object],
) -> Path:
    """The folder of the cache with the images, their attributes and their counts, in the order of the parts.

    Before the images are decoded, `usable` gets the sizes of the parts and the table of attributes.
    """
    folder = place.file(_IMAGES)
    if (inner := folder / folder.name).is_dir():  # the layout of some copies
        folder = inner
    there = {entry.name for entry in os.scandir(folder)}
    state = f"{checksums} {folder.stat().st_mtime_ns} {hashlib.sha256('/'.join(sorted(there)).encode()).hexdigest()}"

    def fill(target: Path) -> None:
        names, table = read_attributes(lists[_ATTRIBUTES], place.file(_ATTRIBUTES))
        part = read_parts(lists[_PARTS], names, place.file(_PARTS))
        found = np.array([name in there for name in names])
        if not found.any():
            raise DataError(f"{folder}: holds none of the {len(names):,} pictures of {_ATTRIBUTES}, such as {names[0]}")
        rows = np.flatnonzero(found)
        rows = rows[np.argsort(part[rows], kind="stable")]  # so that each part is one slice, and stays on disk
        counts = np.bincount(part[rows], minlength=len(PARTS)).tolist()
        usable(counts, table[rows])
        paths = [f"{folder}{os.sep}{names[row]}" for row in rows]
        digest = decode(paths, target / "pixels.npy", (image_size, image_size), _square(image_size), "celeba")
        np.save(target / "attributes.npy", table[rows])
        about = {
            "digest": digest,
            "parts": counts,
            "found": len(rows),
            "listed": len(names),
            "not_listed": len(there.difference(names)),
        }
        (target / "about.json").write_text(json.dumps(about), encoding="utf-8")

    return prepared("celeba", f"{folder.resolve()} {image_size}", state, fill)


def _parts(counts: Sequence[int], validation: str, folder: Path) -> list[torch.Tensor]:
    train, valid, test = torch.arange(sum(counts)).split(list(counts))
    parts = [torch.cat([train, valid]) if validation == "train" else train]
    parts.append(torch.cat([valid, test]) if validation == "test" else test)
    for name, part in zip(("training", "test"), parts, strict=True):
        if not len(part):
            raise DataError(
                f"{folder}: none of the {sum(counts):,} pictures found there is one of the official {name} pictures "
                f"({counts[0]:,} training, {counts[1]:,} validation, {counts[2]:,} test); add some"
            )
    return parts


def _square(side: int) -> Callable[[Image.Image], Image.Image]:
    def cut(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        short = min(width, height)
        left, top = round((width - short) / 2), round((height - short) / 2)
        square = picture.crop((left, top, left + short, top + short))
        return square.resize((side, side), Image.Resampling.BILINEAR)

    return cut


def _incomplete(found: int, listed: int) -> tuple[str, ...]:
    if found == listed:
        return ()
    text = (
        f"{found:,} of {listed:,} pictures of CelebA were found: these are results on a part of it; add the others to "
        "img_align_celeba for the whole."
    )
    return (text,)


def _words(name: str) -> list[str]:
    word = name.replace("_", " ")
    return [f"not {word}", word]


def _content(place: Place, name: str) -> bytes:
    file = place.file(name)
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
