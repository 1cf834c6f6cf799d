"""Evidence arrays that are images, written as one PNG for each file that they name."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

MARK = "picture"
"""An evidence array named `<victim>.<risk>.picture.<file>.<row>` is a row of `<file>.png`."""
_SIDE = 64  # the smallest size in pixels of an image's smaller side
_GAP = 4
_MARGIN = 160  # for the names of the rows

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """Images of one size side by side, under one name."""

    name: str
    images: Image
    """(k, height, width, channels), 1 or 3 channels."""


def rows_by_file(arrays: Mapping[str, Any]) -> dict[str, list[Row]]:
    """The rows of each file; those that are equal for all victims occur once, without the name of a victim."""
    found: dict[str, dict[str, list[tuple[str, Image]]]] = {}
    for name, value in arrays.items():
        parts = name.split(".")
        if MARK not in parts[:-2]:
            continue
        place = parts.index(MARK)
        file, row = parts[place + 1], ".".join(parts[place + 2 :])
        found.setdefault(file, {}).setdefault(row, []).append((parts[0], np.asarray(value)))
    return {file: list(_rows(rows)) for file, rows in found.items()}


def _rows(found: Mapping[str, list[tuple[str, Image]]]) -> Iterator[Row]:
    for name, versions in found.items():
        first = versions[0][1]
        if all(np.array_equal(first, images) for _, images in versions):
            yield Row(name, first)
        else:
            yield from (Row(f"{victim}: {name}", images) for victim, images in versions)


def png(rows: list[Row]) -> bytes:
    """A grid with a row of images for each of `rows`, its name on the left, columns numbered from 0."""
    height, width = rows[0].images.shape[1:3]
    scale = -(-_SIDE // min(height, width))
    height, width = scale * height, scale * width
    columns, head = max(len(row.images) for row in rows), 16
    size = _MARGIN + columns * (width + _GAP), head + len(rows) * (height + _GAP)
    sheet = Pillow.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column in range(columns):
        draw.text((_MARGIN + column * (width + _GAP), 2), str(column), fill="black")
    for line, row in enumerate(rows):
        top = head + line * (height + _GAP)
        draw.multiline_text((2, top), row.name.replace(": ", ":\n"), fill="black")
        for column, image in enumerate(row.images):
            picture = Pillow.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).convert("RGB")
            picture = picture.resize((width, height), Pillow.Resampling.NEAREST)
            sheet.paste(picture, (_MARGIN + column * (width + _GAP), top))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
