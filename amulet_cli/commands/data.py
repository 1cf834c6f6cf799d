"""`amulet data`: which data sets there are, where their files lie, and whether they are the official ones."""

from collections.abc import Sequence
from typing import Any

from rich.padding import Padding
from rich.text import Text

from amulet.core import DataError
from amulet.core.reporting import reporting_to
from amulet.datasets import CATALOG, DatasetInfo
from amulet.datasets.fetching.integrity import State, check
from amulet.datasets.folder import Origin, missing
from amulet.datasets.locations import cache_folder, find, locate
from amulet_cli.base.console import aligned, err, out, print_json
from amulet_cli.base.errors import FAILURE, MISTAKE, UsageError, as_usage_error, show, similar
from amulet_cli.base.files import bytes_below
from amulet_cli.base.flags import CommandLine, matching
from amulet_cli.base.format_numbers import size
from amulet_cli.config.completion import complete
from amulet_cli.execution.interrupt import prompt_end
from amulet_cli.execution.progress import RichReporter
from amulet_cli.views.dataset_show import own_options, show_one

_ACTIONS = ("list", "verify", "path", "fetch", "show")


_WIDTHS = (8, 15, 8, 9, 0)  # of the columns of the list
_WHERE: dict[Origin, str] = {"package": "in the package", "cache": "in the cache", "system": "on the system"}
_STYLES: dict[State, str] = {
    "official": "green",
    "unchecked": "yellow",
    "unlike the official one": "bold red",
    "unreadable": "bold red",
}


def command_line() -> CommandLine:
    """An action, and names of data sets."""
    return CommandLine(
        """
        amulet data [list | verify | path | fetch | show] [NAME ...] [SETTING=VALUE ...]

        Without names: all data sets; fetch needs names. What has to be downloaded goes into the folder that
        AMULET_DATA names, else into the platform's cache folder.

        What to do:
        list    every data set: is it here, how large, licence, source
        verify  read every file and compare its checksum; exit code 1 if one is not the official one
        path    the folders where the files are, or would go
        fetch   download what is not here; an interrupted download resumes
        show    sizes, classes, sensitive attributes, and records: features, or a sheet of pictures

        With show:
        SETTING=VALUE  a setting of its loader, as on the command line of a run
        --save FILE    where the sheet of pictures goes; else NAME.png in the working directory

        With list, verify and path:
        --json  for a program to read

        Examples:
        amulet data  the list
        amulet data fetch fmnist cifar10  download two data sets before the first run needs them
        amulet data show census  what the census looks like to a model
        amulet data show custom path=my.csv target=risk  how your own file is read: inputs in order, units, classes
        amulet data show lfw target=gender --save lfw.png  faces with their labels and attributes

        AMULET_MIRROR, the address of a server with <data set>/<path>, is asked before the official places.
        """,
        words=_candidates,
    )


def _candidates(before: Sequence[str], word: str) -> list[str]:
    """Actions, then data sets, and of the one that is to be shown the settings."""
    action, *names = before or [""]
    if not action:
        return matching(_ACTIONS, word)
    known = [*CATALOG, *(own_options() if action == "show" else ())]
    found = matching([name for name in known if name not in names], word)
    if action == "show" and names and names[0] in (*CATALOG, *own_options()):
        settings = complete([f"dataset={names[0]}"], f"dataset.{word}")
        found += [name.removeprefix("dataset.") for name in settings]
    return found


def main(words: list[str]) -> int:
    """Carry out one action on some or all data sets."""
    given, asked = command_line().parse(words)
    save = asked.get("--save")
    action, *rest = given or ["list"]
    if action not in _ACTIONS:
        raise UsageError(
            f"`amulet data` must be followed by what to do, got {action}",
            expected=", ".join(_ACTIONS),
            meant=similar(action, _ACTIONS) or ([f"amulet data show {action}"] if action in CATALOG else []),
        )
    if action == "fetch" and not rest:
        raise UsageError(
            "`amulet data fetch` must be followed by what to fetch: some data sets are large",
            expected=f"names among {', '.join(CATALOG)}",
            try_="amulet data",
        )
    settings = [word for word in rest if "=" in word]
    names = [word for word in rest if "=" not in word]
    if "--json" in asked and action not in ("list", "verify", "path"):
        raise UsageError(f"`--json` is for list, verify and path, not for `amulet data {action}`")
    _check(names, own_options() if action == "show" else ())
    names = names or list(CATALOG)
    if action == "show":
        return _show(names, settings, save)
    if settings or save:
        wrong = settings[0] if settings else "--save"
        raise UsageError(
            f"`{wrong}` is for `amulet data show`, not for `amulet data {action}`", try_="amulet data --help"
        )
    chosen = [CATALOG[name] for name in names]
    if "--json" in asked:
        return _tell(action, chosen)
    actions = {"list": _list, "verify": _verify, "path": _path, "fetch": _fetch}
    return actions[action](chosen)


def _check(names: Sequence[str], own: Sequence[str]) -> None:
    """Refuse names of no data set, and a user's `own` beside others."""
    known = [*CATALOG, *own]
    for name in names:
        if name in own and len(names) > 1:
            raise UsageError(f"`amulet data show` must name nothing else beside {name}, got {len(names)} names")
        if name not in known:
            what = f"There is no data set `{name}`"
            raise UsageError(what, expected=", ".join(known), meant=similar(name, known), try_="amulet data")


def _list(chosen: list[DatasetInfo]) -> int:
    titles = [Text(title, style="bold") for title in ("data set", "where", "on disk", "download", "licence")]
    out.print(aligned([titles], _WIDTHS))
    for info in chosen:
        where, style, size = _standing(info)
        cells = [info.name, where, size, info.size, info.licence]
        row = [Text(cell, style=style if cell is where else "") for cell in cells]
        out.print(aligned([row], _WIDTHS))
        for line, dim in ((info.title, ""), (info.source, "dim")):
            out.print(Padding(Text(line, style=dim, overflow="fold"), (0, 0, 0, _WIDTHS[0] + 1)))
    out.print()
    out.print(f"downloads go to {cache_folder()}; amulet data fetch NAME", style="dim", soft_wrap=True)
    return 0


def _tell(action: str, chosen: list[DatasetInfo]) -> int:
    """Each data set as JSON: where it is; after `verify` also what its files are."""
    found: list[dict[str, Any]] = []
    for info in chosen:
        place = locate(info)
        facts = {"name": info.name, "title": info.title, "licence": info.licence, "source": info.source}
        found.append({**facts, "here": place is not None, "origin": place and place.origin, "folder": _folder(info)})
        if action == "verify":
            found[-1]["files"] = check(info, place) if place else {}
    print_json(found)
    bad = {state for one in found for state in one.get("files", {}).values()} - {"official", "unchecked"}
    return FAILURE if bad else 0


def _standing(info: DatasetInfo) -> tuple[str, str, str]:
    """Where a data set is, the colour of that, and what it takes on this disk."""
    place = locate(info)
    cache = cache_folder() / info.name
    used = bytes_below(cache)
    if place is None:
        here = len(info.files) - len(missing(info, cache))
        state = f"{here} of {len(info.files)} files" if here else "not here"
        return state, "yellow", size(used) if used else ""
    if place.origin == "system":
        used += sum(bytes_below(place.file(name)) for name in info.files)
    elif place.origin == "package":
        used = sum(bytes_below(place.folder / f"{name}.xz") for name in info.files)
    return _WHERE[place.origin], "green", size(used)


def _verify(chosen: list[DatasetInfo]) -> int:
    bad = 0
    for info in chosen:
        place = locate(info)
        if place is None:
            out.print(Text.assemble((info.name, "bold"), ("  not here: nothing to verify", "yellow")))
            continue
        out.print(Text.assemble((info.name, "bold"), f"  {place.folder}"), soft_wrap=True)
        states = check(info, place)
        for name, state in states.items():
            said = "no official checksum" if state == "unchecked" else state
            checksum = info.files[name].replace(":", " ")
            line = Text.assemble("  ", (f"{said:25}", _STYLES[state]), name, (f"  {checksum}", "dim"))
            out.print(line, soft_wrap=True)
        if damaged := [name for name, state in states.items() if state not in ("official", "unchecked")]:
            bad += 1
            out.print(Text(f"  {_cure(info, place.origin, damaged)}", style="bold red"), soft_wrap=True)
    return FAILURE if bad else 0


def _cure(info: DatasetInfo, origin: Origin, damaged: list[str]) -> str:
    if origin == "package":
        return "install amulet-cli again"
    if origin == "system":
        return "install the package that these files come from again"
    these = "it" if len(damaged) == 1 else f"these {len(damaged)}"
    return f"delete {these}, then amulet data fetch {info.name}"


def _path(chosen: list[DatasetInfo]) -> int:
    for info in chosen:
        out.print(_folder(info) if len(chosen) == 1 else f"{info.name}  {_folder(info)}", soft_wrap=True)
    return 0


def _folder(info: DatasetInfo) -> str:
    """Where its files are, or would go."""
    place = locate(info)
    return str(place.folder if place else cache_folder() / info.name)


def _fetch(chosen: list[DatasetInfo]) -> int:
    code = 0
    with prompt_end("what was fetched is kept; the same command resumes"), reporting_to(RichReporter(err)):
        for info in chosen:
            try:
                out.print(_fetched(info), soft_wrap=True)
            except DataError as error:  # the others may still be had
                code = MISTAKE
                show(as_usage_error(error) or UsageError(str(error)))
    return code


def _fetched(info: DatasetInfo) -> str:
    place = locate(info)
    if place is None:
        return f"{info.name}: fetched into {find(info).folder}"
    if place.origin == "package":
        return f"{info.name} comes with the package: nothing to fetch"
    return f"{info.name}: already {_WHERE[place.origin]}, {place.folder}"


def _show(names: Sequence[str], settings: Sequence[str], save: str | None) -> int:
    """Print what each data set looks like to a model; of several only those that are on this machine.

    Args:
        names: the data sets; a user's own stands alone.
        settings: of the loader, as on the command line of a run: `target=gender`, `root=/my/folder`.
        save: where the sheet of pictures goes, if not to `<name>.png` in the working directory.
    """
    if len(names) > 1 and (settings or save):
        what = f"`{settings[0]}`" if settings else "`--save`"
        raise UsageError(f"{what} is for one data set, got {len(names)}", try_=f"amulet data show {names[-1]}")
    with prompt_end("nothing was written"), reporting_to(RichReporter(err)):
        for i, name in enumerate(names):
            if i:
                out.print()
            if len(names) > 1 and locate(CATALOG[name]) is None:
                out.print(f"{name}: not here; amulet data fetch {name}", soft_wrap=True)
            else:
                show_one(name, settings, save)
    return 0
