"""`amulet data show`: sizes, classes, sensitive attributes, and the first records: features, or a sheet of pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from amulet.datasets import CATALOG
from amulet_cli.base.console import aligned, hanging, headed, out
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.serialize import from_yaml
from amulet_cli.config.hydra_setup import conf_dir
from amulet_cli.config.instantiation import build, check

if TYPE_CHECKING:
    from amulet.datasets import AmuletDataset

_MOST_WORDS = 8  # categories that are shown of one column; a result has them all
_MOST_CLASSES = 10  # that the table of shares has columns for


def own_options() -> list[str]:
    """The options that read a user's own files, which no catalog knows."""
    return sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml") if path.stem not in CATALOG)


def show_one(name: str, settings: Sequence[str], save: str | None) -> None:
    """Print what one data set looks like to a model; of pictures, write a sheet."""
    option = from_yaml((conf_dir() / "dataset" / f"{name}.yaml").read_text(encoding="utf-8"))
    node = _with({key: value for key, value in option.items() if key != "about"}, settings)
    if lacking := [f"{key}=..." for key, value in node.items() if value == "???"]:
        raise UsageError(
            f"`{name}` needs {' and '.join(lacking)}", try_=" ".join(["amulet data show", name, *settings, *lacking])
        )
    check(node, "dataset")
    target = Path(save or f"{name}.png").expanduser()
    if save:
        from amulet_cli.views.contact_sheet import check_target

        check_target(target)
    data: AmuletDataset = build(node, "dataset")
    _print_head(name, data)
    if data.modality == "image":
        from amulet_cli.views.contact_sheet import check_target, grid, save_sheet

        check_target(target)
        save_sheet(grid(data), target)
        out.print()
        out.print(f"pictures    {target.absolute()}", soft_wrap=True)
    elif save:
        raise UsageError(f"`--save` is for pictures, and {name} is a table", try_=f"amulet data show {name}")
    elif data.feature_names:
        heading = "inputs in order, the first three training records, and the unit or the categories of each"
        out.print(*headed(heading), sep="\n")
        out.print(_features(data))


def _print_head(name: str, data: "AmuletDataset") -> None:
    info = CATALOG.get(name)
    files: Mapping[str, str] = data.notes.get("checksum", {})
    out.print(Text(f"{name}: {info.title if info else ', '.join(files)}", style="bold underline"))
    if info:
        out.print(hanging("licence     ", f"{info.licence}; {info.source}"))
    else:
        for checksum in files.values():
            out.print(hanging("digest      ", checksum))
    out.print(hanging("modality    ", f"{data.modality}, inputs of shape {tuple(data.shape)} in [0, 1]"))
    if target := data.notes.get("target"):
        out.print(hanging("target      ", str(target)))
    if labels := data.notes.get("labels"):
        out.print(hanging("classes     ", ", ".join(f"{i} {label}" for i, label in enumerate(labels))))
    out.print(hanging("sensitive   ", ", ".join(_meaning(data, name) for name in data.attributes) or "none"))
    out.print()
    rows = _shares(data)
    out.print(aligned([[Text(cell) for cell in row] for row in rows], [10, *[8] * (len(rows[0]) - 1)]))
    out.print(Text("of a class: its share; of an attribute: the share of records where it is 1", style="dim"))
    for warning in data.warnings:
        out.print()
        out.print(hanging("warning     ", warning, "yellow"))


def _meaning(data: "AmuletDataset", attribute: str) -> str:
    values = data.notes.get("values", {}).get(attribute)
    return f"{attribute} ({', '.join(f'{i} {word}' for i, word in enumerate(values))})" if values else attribute


def _shares(data: "AmuletDataset") -> list[list[str]]:
    """A row for each part: how many records, and which share of them each class and each attribute has."""
    classes = range(min(data.num_classes, _MOST_CLASSES))
    rows = [["", "records", *(f"class {c}" for c in classes), *data.attributes]]
    for name, part in (("train", data.train), ("test", data.test)):
        counts = part.y.bincount(minlength=data.num_classes).tolist()
        shares = [counts[c] / len(part) for c in classes]
        shares += [(part.attribute(attribute) == 1).float().mean().item() for attribute in data.attributes]
        rows.append([name, f"{len(part):,}", *(f"{share:.2%}" for share in shares)])
    return rows


def _features(data: Any) -> Any:
    """One line per column; one-hot columns of a variable together, with the category that is set."""
    first = data.train.inputs(slice(0, 3))
    grouped = dict(data.groups)
    rows: list[list[str]] = []
    column = 0
    while column < len(data.feature_names):
        end = grouped.get(column, column + 1)
        name = data.feature_names[column]
        if end > column + 1:
            picks = [data.feature_names[column + int(x[column:end].argmax())].partition("=")[2][:16] for x in first]
            words = [one.partition("=")[2] for one in data.feature_names[column:end]]
            more = f", and {len(words) - _MOST_WORDS} more" if len(words) > _MOST_WORDS else ""
            meaning = ", ".join(words[:_MOST_WORDS]) + more
            rows.append([f"  {name.partition('=')[0]}", f"one of {end - column}", *picks, meaning])
        else:
            meaning = f"{_unit(scale.low)} to {_unit(scale.high)}" if (scale := data.scales.get(name)) else ""
            rows.append([f"  {name}", "number", *(f"{x[column]:.3f}" for x in first), meaning])
        column = end
    return aligned([[Text(cell) for cell in row] for row in rows], [0] * 6)


def _unit(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _with(option: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The option with settings changed; values are read as in a configuration."""
    import yaml

    changed = dict(option)
    for setting in settings:
        name, _, value = setting.partition("=")
        name = name.removeprefix("dataset.")
        if name not in option or name == "_target_":
            known = [key for key in option if key != "_target_"]
            raise UsageError(
                f"`{name}` is no setting of this data set", expected=", ".join(known), meant=similar(name, known)
            )
        try:
            changed[name] = from_yaml(value)
        except yaml.YAMLError as error:
            raise UsageError(
                f"`{setting}`: the value cannot be read", expected="such as sensitive=[race,gender]"
            ) from error
    return changed
