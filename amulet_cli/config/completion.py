"""What the Tab key offers for the words of a run: groups, options and settings, as Hydra knows them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from amulet_cli.base.flags import FILES, FOLDERS, matching
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import as_typed
from amulet_cli.config.hydra_setup import opened, settings
from amulet_cli.config.schema import ADDED, AUGMENTATIONS, SETTINGS

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

_PATHS = {
    **dict.fromkeys(("checkpoint", "dataset.path", "dataset.test"), FILES),
    **dict.fromkeys(("output_dir", "store", "dataset.images", "dataset.root"), FOLDERS),
}


def complete(before: Sequence[str], word: str) -> list[str]:
    """What can stand for `word` after the words `before` of a run; what is complete ends with a space."""
    arguments = parse(before)
    key, equals, value = word.partition("=")
    given = _one_job(arguments.overrides)
    if equals and key in _PATHS:
        return [_PATHS[key]]
    with opened(arguments.config_dir) as hydra:
        if equals:
            return matching(_values(hydra, given, key), value, f"{key}=")
        return sorted({name for name in _names(hydra, given, word) if name.startswith(word)})


def _values(hydra: "Hydra", given: Sequence[str], key: str) -> Sequence[str]:
    """The options of a group; the values of a setting, as far as they can be listed, else the present one."""
    if options := hydra.config_loader.get_group_options("defense" if key == "second_defense" else key.lstrip("+")):
        return options
    if known := tuple(AUGMENTATIONS) if key == "augmentation" else _listed(key in SETTINGS and SETTINGS[key].type):
        return known
    value = settings(hydra, given).get(key)
    return [] if value is None or isinstance(value, (dict, list)) else [as_typed(value)]


def _listed(kind: Any) -> tuple[str, ...]:
    """The values that a type lists.

    >>> _listed(Literal["auto"] | int), _listed(bool)
    (('auto',), ('true', 'false'))
    """
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else tuple(v for one in get_args(kind) for v in _listed(one))


def _names(hydra: "Hydra", given: Sequence[str], word: str) -> Iterator[str]:
    """Groups, and keys up to the next dot."""
    from hydra.core.object_type import ObjectType

    above, slash, _ = word.rpartition("/")
    for group in hydra.config_loader.get_group_options(above, ObjectType.GROUP):
        name = f"{above}{slash}{group}"
        if name != "hydra":
            yield f"{'+' if name in ADDED else ''}{name}="
        elif word.startswith("h"):
            yield "hydra/"
    yield "second_defense="
    for key, value in settings(hydra, given).items():
        if not isinstance(value, dict) and key.startswith(word) and not key.startswith("second_defense"):
            dot = key.find(".", len(word))
            yield f"{key}=" if dot < 0 else key[: dot + 1]


def _one_job(words: Sequence[str]) -> list[str]:
    """Of a sweep's values the first: which settings there are is asked of one job.

    >>> _one_job(["defense=none,adv_training", "metric=[utility,evasion]", "seed=range(0,3)"])
    ['defense=none', 'metric=[utility,evasion]']
    """
    found: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if (equals and "(" not in value) or word.startswith("~"):
            found.append(word if "[" in value or not equals else f"{key}={value.partition(',')[0]}")
    return found
