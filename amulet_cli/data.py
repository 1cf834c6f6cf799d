"""`amulet data`: which data sets there are, where their files lie, and whether they are the official ones."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amulet_cli.errors import FAILURE, UsageError, alike
from amulet_cli.help import Page

if TYPE_CHECKING:
    from amulet.datasets import DatasetInfo

_ACTIONS = ("list", "verify", "path", "fetch", "show")
_STYLES = {"present": "green", "absent": "yellow", "corrupt": "bold red"}

SUMMARY = "data sets: what is here, where, under which licence; check, fetch, look"
HELP = Page(
    usage="amulet data [list | verify | path | fetch | show] [NAME ...]",
    about="Without names: all data sets. What has to be downloaded goes into the folder that AMULET_DATA names, else\n"
    "into the platform's cache folder.",
    sections=(
        (
            "What to do",
            (
                ("list", "every data set: is it here, how large, licence, source"),
                ("verify", "read every file and compare its SHA-256; exit code 1 if one is damaged"),
                ("path", "the folders of the files"),
                ("fetch", "get what is not here"),
                ("show", "sizes, classes, sensitive attributes, features, and the first records"),
            ),
        ),
    ),
    examples=(("amulet data", "the list"), ("amulet data show census", "what the census looks like to a model")),
)


def main(words: list[str]) -> int:
    """Carry out one action on some or all data sets."""
    from amulet_cli.options import Options

    options = Options("data")
    options.add_argument("words", nargs="*")
    action, *names = options.parse_args(words).words or ["list"]
    if action not in _ACTIONS:
        raise UsageError(
            f"`amulet data` must be followed by what to do, got {action}",
            expected=", ".join(_ACTIONS),
            meant=alike(action, _ACTIONS) or ([f"amulet data show {action}"] if action in _known() else []),
        )
    chosen = _chosen(names)
    actions = {"list": _list, "verify": _verify, "path": _path, "fetch": _fetch, "show": _show}
    return actions[action](chosen)


def cache_folder() -> Path:
    """Where downloaded data goes: AMULET_DATA, else the platform's cache folder."""
    from platformdirs import user_cache_path

    named = os.environ.get("AMULET_DATA")
    return Path(named).expanduser() if named else user_cache_path("amulet") / "data"


def _known() -> "dict[str, DatasetInfo]":
    from amulet.datasets import CATALOG

    return CATALOG


def _chosen(names: list[str]) -> "list[DatasetInfo]":
    known = _known()
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no data set `{name}`",
                expected=", ".join(known),
                meant=alike(name, known),
                try_="amulet data",
            )
    return [known[name] for name in names or known]


def _folder(info: "DatasetInfo") -> Path:
    from importlib.resources import as_file, files

    if not info.embedded:
        return cache_folder() / info.name
    with as_file(files("amulet.datasets") / "_files") as folder:
        return folder


def _list(chosen: "list[DatasetInfo]") -> int:
    from rich.table import Table
    from rich.text import Text

    from amulet_cli.console import out

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("data set", "state", "size", "licence"):
        table.add_column(name, no_wrap=True)
    table.add_column("what it is")
    for info in chosen:
        state = info.status()
        shown = "in the package" if info.embedded and state == "present" else state
        what = Text.assemble(info.title, "\n", (info.source, "dim"))
        table.add_row(info.name, Text(shown, style=_STYLES[state]), info.size, info.licence, what)
    out.print(table)
    out.print()
    out.print(f"downloads go to {cache_folder()}", style="dim", soft_wrap=True)
    return 0


def _verify(chosen: "list[DatasetInfo]") -> int:
    from rich.text import Text

    from amulet_cli.console import out

    bad = 0
    for info in chosen:
        state = info.status()
        bad += state == "corrupt"
        out.print(Text.assemble((f"{state:8}", _STYLES[state]), f"  {info.name}"))
        for name, sha in info.files.items():
            out.print(Text(f"          {name}  sha256 {sha}", style="dim"), soft_wrap=True)
        if state == "corrupt":
            cure = "install amulet-cli again" if info.embedded else f"delete {_folder(info)} and fetch it again"
            out.print(Text(f"          not the official files: {cure}", style="bold red"), soft_wrap=True)
    return FAILURE if bad else 0


def _path(chosen: "list[DatasetInfo]") -> int:
    from amulet_cli.console import out

    for info in chosen:
        where = str(_folder(info))
        out.print(where if len(chosen) == 1 else f"{info.name}  {where}", soft_wrap=True)
    return 0


def _fetch(chosen: "list[DatasetInfo]") -> int:
    from amulet_cli.console import out

    for info in chosen:
        if not info.embedded:
            raise UsageError(f"`{info.name}` cannot be fetched; put its files into {_folder(info)}", where=info.source)
        out.print(f"{info.name} comes with the package: nothing to fetch")
    return 0


def _show(chosen: "list[DatasetInfo]") -> int:
    for info in chosen:
        _show_one(info)
    return 0


def _show_one(info: "DatasetInfo") -> None:
    from rich.text import Text

    from amulet.datasets import AmuletDataset
    from amulet_cli.components import build
    from amulet_cli.console import aligned, hanging, out

    data: AmuletDataset = build(_option(info.name), "dataset")
    out.print(Text(f"{info.name}: {info.title}", style="bold underline"))
    out.print(hanging("licence     ", f"{info.licence}; {info.source}"))
    out.print(hanging("modality    ", f"{data.modality}, inputs of shape {tuple(data.shape)} in [0, 1]"))
    out.print(hanging("sensitive   ", ", ".join(data.attributes) or "none"))
    rows = [["", "records", *(f"class {c}" for c in range(data.num_classes)), *data.attributes]]
    for name, part in (("train", data.train), ("test", data.test)):
        shares = [count / len(part) for count in part.y.bincount(minlength=data.num_classes).tolist()]
        shares += [part.attribute(attribute).float().mean().item() for attribute in data.attributes]
        rows.append([name, f"{len(part):,}", *(f"{share:.2%}" for share in shares)])
    widths = [10, *[8] * (len(rows[0]) - 1)]
    out.print()
    out.print(aligned([[Text(cell) for cell in row] for row in rows], widths))
    out.print(Text("of a class: its share; of an attribute: the share of records where it is 1", style="dim"))
    if data.feature_names:
        out.print()
        out.print(Text("features, and the first three training records", style="bold"))
        out.print(_features(data))


def _features(data: Any) -> Any:
    """One line per column; one-hot columns of a variable together, with the category that is set."""
    from rich.text import Text

    from amulet_cli.console import aligned

    first = data.train.inputs(slice(0, 3))
    grouped = dict(data.groups)
    rows: list[list[str]] = []
    column = 0
    while column < len(data.feature_names):
        end = grouped.get(column, column + 1)
        name = data.feature_names[column]
        if end > column + 1:
            picks = [data.feature_names[column + int(x[column:end].argmax())].partition("=")[2][:16] for x in first]
            rows.append([f"  {name.partition('=')[0]}", f"one of {end - column}", *picks])
        else:
            rows.append([f"  {name}", "number", *(f"{x[column]:.3f}" for x in first)])
        column = end
    return aligned([[Text(cell) for cell in row] for row in rows], [0] * 5)


def _option(name: str) -> dict[str, Any]:
    import yaml

    from amulet_cli.hydra_setup import conf_dir

    path = conf_dir() / "dataset" / f"{name}.yaml"
    option = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {key: value for key, value in option.items() if key != "about"}
