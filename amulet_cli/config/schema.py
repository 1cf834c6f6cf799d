"""The top-level keys of a configuration: their types and ranges."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from amulet_cli.base.errors import UsageError, similar
from amulet_cli.config.instantiation import fits, phrase, quoted, quotes, shown

CHOICES = {
    "dataset": "the records to learn from, and the task",
    "model": "the architecture",
    "defense": "what protects the model; second_defense= adds another one",
    "attack": "what the adversary does",
    "metric": "which risks are measured: metric=[utility,evasion]",
    "experiment": "whole settings by name, added with a plus: +experiment=smoke",
    "paper_size": "how large an experiment of the paper is: +paper_size=quick",
    "logger": "trackers that results are sent to as well: logger=mlflow",
}
"""The groups that a user chooses from, in the order in which they are shown, and what each is about."""
GROUPS = ("dataset", "model", "defense", "second_defense", "attack", "metric")
ADDED = ("experiment", "paper_size")
"""Groups that no run has by default: a plus adds one of their options."""
FACTORIES = ("optimizer", "schedule", "augmentation")
AUGMENTATIONS = {"flip_crop": {"_target_": "amulet.training.augmentation.FlipCrop"}}
"""By the short names of `augmentation`."""
_MAY_BE_NONE = ("defense", "second_defense", "attack")


class _Setting(NamedTuple):
    type: Any
    least: int | None = None
    most: int | None = None
    between: tuple[float, float] | None = None
    """Exclusive limits."""


SETTINGS = {
    "seed": _Setting(int, least=0, most=2**63 - 1),
    "device": _Setting(str),
    "num_threads": _Setting(Literal["auto"] | int, least=1, most=4096),
    "workers": _Setting(Literal["auto"] | int, least=1, most=4096),
    "output_dir": _Setting(str),
    "store": _Setting(str | None),
    "force": _Setting(bool),
    "epochs": _Setting(int, least=1, most=1_000_000),
    "batch_size": _Setting(int, least=1, most=2**31 - 1),
    "early_stopping": _Setting(dict[str, Any] | None),
    "precision": _Setting(Literal["auto", "float32", "amp"]),
    "adversary_fraction": _Setting(float, between=(0, 1)),
    "checkpoint": _Setting(dict[str, str] | None),
    "checkpoint_accuracy": _Setting(float | None, between=(0, 1)),
    "recipe": _Setting(Literal["unknown", "given"]),
    "members": _Setting(Literal["unknown", "given"]),
    "logger": _Setting(dict[str, Any] | None),
    "trial": _Setting(int | None, least=20),
}
"""By name; `logger` is a group too, but does not determine a run."""


def check(config: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless every top-level key is known, of its type and in its range."""
    known = (*SETTINGS, *GROUPS, *FACTORIES)
    _check_values(config)
    for key in config:
        if key not in known:
            raise UsageError(f"`{key}` is not a setting", meant=similar(key, known), try_="amulet run --help")
    for key in known:
        if key not in config and key not in ("metric", "logger", "trial"):
            raise UsageError(f"`{key}` is missing from the configuration")
    for key, setting in SETTINGS.items():
        _check_value(key, config.get(key), setting)
    for key in (*GROUPS, *FACTORIES):
        _check_node(key, config.get(key))


def _check_values(node: object, key: str = "") -> None:
    """At any depth: keys are texts, numbers finite."""
    if isinstance(node, Mapping):
        for name, value in cast(Mapping[Any, Any], node).items():
            if not isinstance(name, str):
                raise UsageError(f"`{key or 'the configuration'}` must have texts as keys, got {shown(name)}")
            _check_values(value, f"{key}.{name}" if key else name)
    elif isinstance(node, (list, tuple)):
        for value in cast(Sequence[Any], node):
            _check_values(value, key)
    elif isinstance(node, float) and not math.isfinite(node):
        raise UsageError(
            f"`{key}` must be a finite number, got {node}", expected=f"a number, or a text in quotes: {quoted(node)}"
        )


def _check_value(key: str, value: Any, setting: _Setting) -> None:
    if not fits(value, setting.type):
        raise UsageError(
            f"`{key}` must be {phrase(setting.type)}, got {shown(value)}", expected=quotes(value, setting.type)
        )
    if isinstance(value, str) and not value.strip():
        raise UsageError(
            f"`{key}` must not be empty", expected=f"leave it out{' or null' if fits(None, setting.type) else ''}"
        )
    if not isinstance(value, (int, float)):
        return
    if setting.least is not None and value < setting.least:
        raise UsageError(f"`{key}` must satisfy {setting.least} <= {key}, got {value}")
    if setting.most is not None and value > setting.most:
        raise UsageError(f"`{key}` must satisfy {key} <= {setting.most}, got {value}")
    if setting.between and not setting.between[0] < value < setting.between[1]:
        low, high = setting.between
        raise UsageError(f"`{key}` must satisfy {low:g} < {key} < {high:g}, got {value}")


def _check_node(key: str, node: object) -> None:
    if key == "metric":
        if not isinstance(node, Mapping) or not node:
            raise UsageError("`metric` must choose at least one option", try_="amulet list metric")
        return
    if key == "augmentation":
        augmentations(node)
        return
    if node is None and key == "schedule":
        return
    browse = f"amulet list {key}" if key in GROUPS else None
    if not isinstance(node, Mapping) or "_target_" not in node:
        kind = "a mapping" if key in FACTORIES else "an option"
        raise UsageError(f"`{key}` must be {kind} with a `_target_`, got {shown(node)}", try_=browse)
    target = cast(Mapping[str, Any], node)["_target_"]
    if not (isinstance(target, str) or (target is None and key in _MAY_BE_NONE)):
        raise UsageError(f"`{key}._target_` must be the path of a class, got {shown(target)}", try_=browse)


def augmentations(setting: object) -> list[Mapping[str, Any]]:
    """The nodes of `augmentation`, in order: null, a short name, a node, or a list of them."""
    steps = cast(list[object], setting) if isinstance(setting, list) else [] if setting is None else [setting]
    nodes: list[Mapping[str, Any]] = []
    for step in steps:
        node = AUGMENTATIONS.get(step) if isinstance(step, str) else step
        if not isinstance(node, Mapping) or not isinstance(cast(Mapping[str, Any], node).get("_target_"), str):
            names = ", ".join(AUGMENTATIONS)
            raise UsageError(
                f"`augmentation` must be null, one of {names}, a mapping with a `_target_`, or a list of them, "
                f"got {shown(step)}",
                meant=[f"augmentation={name}" for name in similar(step, AUGMENTATIONS)]
                if isinstance(step, str)
                else (),
            )
        nodes.append(cast(Mapping[str, Any], node))
    return nodes
