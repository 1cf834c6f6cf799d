"""The owner's own watermark triggers: a folder of images, with given or drawn labels."""

import csv
import hashlib
import io
from pathlib import Path

import torch
from torch import Tensor

from amulet.core.errors import SettingError

_SUFFIXES = (".png", ".jpg", ".jpeg")
LABELS = "labels.csv"
_HEADER = ["file", "label"]


class PictureFolder:
    """The PNG and JPEG files of a folder, in the order of their names, and `labels.csv` (`file,label`) if it exists.

    Other files and subfolders are ignored.

    Raises:
        SettingError: there is no such folder, or no image in it.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise SettingError(f"`triggers` must be a number or a folder of PNG and JPEG files, got {path}")
        files = (file for file in self.path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
        self.names = tuple(sorted(file.name for file in files if not file.name.startswith(".")))
        if not self.names:
            raise SettingError(f"`triggers`: {path} holds no PNG or JPEG file")
        self.labelled = (self.path / LABELS).is_file()
        """Are the labels given, not drawn?"""
        self._decoded: dict[tuple[int, ...], Tensor] = {}
        self._digest: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def digest(self) -> str:
        """SHA-256 of the names and contents of the pictures, and of the labels."""
        if self._digest is None:
            sha = hashlib.sha256()
            for name in (*self.names, *([LABELS] if self.labelled else [])):
                content = self._read(name)
                sha.update(f"{name}\0{len(content)}\0".encode())
                sha.update(content)
            self._digest = sha.hexdigest()
        return self._digest

    def images(self, shape: tuple[int, ...]) -> Tensor:
        """The images as inputs (k, *shape), uint8: grey for one channel, resized to the inputs' size.

        Raises:
            SettingError: inputs are not images, a file cannot be read as one, or two are identical after resizing.
        """
        if shape not in self._decoded:
            if len(shape) != 3 or shape[0] not in (1, 3):
                raise SettingError(
                    f"`defense.triggers` must be a number for inputs of shape {shape}: pictures have 1 or 3 channels"
                )
            images = torch.stack([self._decode(name, shape) for name in self.names])
            self._refuse_twins(images)
            self._decoded[shape] = images
        return self._decoded[shape]

    def labels(self, classes: int) -> Tensor:
        """The labels of `labels.csv`, (k,) int64.

        Raises:
            SettingError: the file is not valid; the message says what is wrong and where.
        """
        where = self.path / LABELS
        rows = list(csv.reader(io.StringIO(self._read(LABELS).decode("utf-8-sig", errors="replace"))))
        if not rows or [cell.strip() for cell in rows[0]] != _HEADER:
            raise SettingError(f"`defense.triggers`: {where} must begin with the line file,label")
        found: dict[str, int] = {}
        for number, row in enumerate(rows[1:], 2):
            if not row:
                continue
            name, label = (cell.strip() for cell in row) if len(row) == 2 else ("", "")
            if name not in self.names or name in found:
                why = "is named twice" if name in found else "is no picture of the folder"
                raise SettingError(f"`defense.triggers`: line {number} of {where}: {name or ','.join(row)!r} {why}")
            if not label.isdecimal() or int(label) >= classes:
                raise SettingError(
                    f"`defense.triggers`: line {number} of {where}: the label must be a class, 0 to {classes - 1}, "
                    f"got {label}"
                )
            found[name] = int(label)
        if missing := [name for name in self.names if name not in found]:
            raise SettingError(f"`defense.triggers`: {where} has no label for {missing[0]} ({len(missing)} missing)")
        return torch.tensor([found[name] for name in self.names])

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise SettingError(f"`defense.triggers`: {self.path / name} cannot be read: {error.strerror}") from error

    def _decode(self, name: str, shape: tuple[int, ...]) -> Tensor:
        import numpy as np
        from PIL import Image, ImageOps

        content = self._read(name)
        try:
            with Image.open(io.BytesIO(content)) as file:
                upright = ImageOps.exif_transpose(file)
                if upright.mode.startswith("I"):  # 16 bits a pixel, which conversion would clip at 255
                    upright = Image.fromarray((np.asarray(upright) // 256).astype(np.uint8))
                picture = upright.convert("RGBA").convert("L" if shape[0] == 1 else "RGB")
                pixels = np.array(picture.resize((shape[2], shape[1]), Image.Resampling.BILINEAR))
        except Exception as error:  # decoders may raise any exception
            raise SettingError(f"`defense.triggers`: {self.path / name} is no picture that can be read") from error
        return torch.from_numpy(pixels).reshape(shape[1], shape[2], shape[0]).permute(2, 0, 1).contiguous()

    def _refuse_twins(self, images: Tensor) -> None:
        seen: dict[bytes, str] = {}
        for name, image in zip(self.names, images, strict=True):
            other = seen.setdefault(image.numpy().tobytes(), name)
            if other != name:
                raise SettingError(
                    f"`defense.triggers`: {other} and {name} of {self.path} are the same picture at the size of the "
                    "inputs, and no model can give it two labels"
                )
