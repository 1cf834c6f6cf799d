"""A sheet of pictures of a data set, each above its label and its sensitive attributes."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import write_atomically

if TYPE_CHECKING:
    from amulet.datasets import AmuletDataset, Records

_PICTURES = 40
_COLUMNS = 10
_SIDE = 112  # pixels that a small picture is blown up to, at least
_CELL = 100  # pixels, at least, so that a caption has room
_GAP = 8
_LINE = 14
_MAKER = "amulet data show"


def grid(data: "AmuletDataset") -> Image.Image:
    """Forty training pictures, as many of each class, spread over the data set; class by class."""
    records = data.train.batch(sample(data.train.y, data.num_classes))
    pixels = (records.inputs() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    height, width = pixels.shape[1:3]
    scale = max(1, -(-_SIDE // height))
    size = (width * scale, height * scale)
    cell = (max(_CELL, size[0]) + _GAP, size[1] + (2 + len(data.attributes)) * _LINE + 2 * _GAP)
    sheet = Image.new("RGB", (_COLUMNS * cell[0] + _GAP, -(-len(records) // _COLUMNS) * cell[1] + 3 * _LINE), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(15), ImageFont.load_default(11)
    below = ", ".join(("its number", str(data.notes.get("target", "its class")), *data.attributes))
    draw.text((_GAP, _GAP), f"{data.name}: {len(records)} training records; below each {below}", "black", large)
    for i in range(len(records)):
        left, top = _GAP + i % _COLUMNS * cell[0], 3 * _LINE + i // _COLUMNS * cell[1]
        picture = Image.fromarray(pixels[i].squeeze()).convert("RGB").resize(size, Image.Resampling.NEAREST)
        sheet.paste(picture, (left, top))
        for j, word in enumerate((f"#{int(records.ids[i])}", *captions(data, records, i))):
            text = _fitted(word, small, cell[0] - _GAP)
            draw.text((left, top + size[1] + 2 + j * _LINE), text, "gray" if j == 0 else "black", small)
    return sheet


def captions(data: "AmuletDataset", records: "Records", i: int) -> list[str]:
    """The label of one record, then its sensitive attributes, in the loader's words if it has some."""
    return [class_name(data, int(records.y[i]))] + [
        value_name(data, name, int(records.z[i, column])) for column, name in enumerate(records.attributes)
    ]


def class_name(data: "AmuletDataset", label: int) -> str:
    """What a label means: `Sneaker`, or `class 7` where the loader does not say."""
    labels = data.notes.get("labels", ())
    return str(labels[label]) if label < len(labels) else f"class {label}"


def value_name(data: "AmuletDataset", attribute: str, value: int) -> str:
    """What the value of a sensitive attribute means: `male`, or `sex 1` where the loader does not say."""
    values = data.notes.get("values", {}).get(attribute, ())
    return str(values[value]) if value < len(values) else f"{attribute} {value}"


def sample(y: Tensor, num_classes: int, most: int = _PICTURES) -> Tensor:
    """Positions of at most that many records: equally many of each class, far apart, class by class."""
    each = max(1, most // num_classes)
    parts: list[Tensor] = []
    for label in range(min(num_classes, most)):
        of_class = (y == label).nonzero().squeeze(1)
        steps = torch.linspace(0, max(len(of_class) - 1, 0), min(each, len(of_class)))
        parts.append(of_class[steps.long()])
    return torch.cat(parts)


def check_target(path: Path) -> None:
    """Raise `UsageError` unless a sheet can be written there without harm: nothing is there, or an older sheet."""
    if not path.exists():
        return
    try:
        with Image.open(path) as there:
            ours = there.info.get("Software") == _MAKER
    except OSError:
        ours = False
    if not ours:
        raise UsageError(
            f"`{path}` is there already and no sheet of `{_MAKER}`: it is not overwritten", try_="--save OTHER.png"
        )


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG, marked as one."""
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", _MAKER)
    try:
        write_atomically(path, lambda file: sheet.save(file, "PNG", pnginfo=mark))
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written ({error.strerror or error})", try_="--save OTHER.png") from error


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, or as much of it as is not wider than that."""
    while font.getlength(text) > width and len(text) > 2:
        text = f"{text[:-2]}…"
    return text
