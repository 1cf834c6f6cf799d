"""The table of docs/combinations.md: every data set x every attack x every defence, and why some make no sense.

`make format` writes it, `make check` holds it against the configuration groups.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

from amulet.assessment.combinations import DataFacts, stand_in, why_not
from amulet.core import Attack
from amulet.training import Defense
from amulet_cli.base.serialize import from_yaml
from amulet_cli.config import instantiation
from amulet_cli.config.hydra_setup import conf_dir
from amulet_cli.config.options import is_suite

Reasons = Mapping[tuple[str, str], str | None]
"""By attack and defence: why not, or None."""

_HEAD = """\
# What runs on what

Every data set x every attack x every defence, with the default settings. Written by
`python -m amulet_cli.views.combinations` from what `amulet run` itself checks before anything is trained;
the tests run a tiny version of each combination that runs.

A letter stands for the reason why a combination makes no sense; it is refused with these words. `none` is a run
without an attack, or without a defence.
"""


def options(group: str) -> dict[str, Any]:
    """The options of `attack` or `defense` by name, built with their defaults; None for `none`, which comes first."""
    found: dict[str, Any] = {"none": None}
    for name, node in _nodes(group):
        if node["_target_"] and not is_suite(node):
            found[name] = instantiation.build({k: v for k, v in node.items() if k != "about"}, group)
    return found


def _nodes(group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Amulet's own options of a group, whatever is installed beside it."""
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        yield path.stem, cast(dict[str, Any], from_yaml(path.read_text(encoding="utf-8")))


def datasets() -> dict[str, DataFacts]:
    """The data sets that say in `about.data` what they are like, so that nothing has to be read."""
    found: dict[str, DataFacts] = {}
    for name, node in _nodes("dataset"):
        if data := node["about"].get("data"):
            shape, attributes = tuple(data["shape"]), tuple(data.get("attributes", ()))
            widths = tuple(data.get("categorical", ()))
            found[name] = DataFacts(name, data["modality"], shape, data["classes"], attributes, widths)
    return found


def reasons(facts: DataFacts) -> Reasons:
    """Every attack and defence on one data set."""
    data = stand_in(facts)
    attacks = cast(dict[str, Attack | None], options("attack"))
    defenses = cast(dict[str, Defense | None], options("defense"))
    return {
        (attack, defense): why_not(data, attacks[attack], [made] if (made := defenses[defense]) else [])
        for attack in attacks
        for defense in defenses
    }


def markdown() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    letters: dict[str, str] = {}
    for name, facts in datasets().items():
        found = reasons(facts)
        attacks, defenses = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
        kind = "A table" if facts.modality == "tabular" else "Pictures"
        shape = " x ".join(map(str, facts.shape)) + (" columns" if facts.modality == "tabular" else "")
        described = f"sensitive: {', '.join(facts.attributes)}" if facts.attributes else "no sensitive attributes"
        yield f"## {name}\n\n{kind}, {shape}, {facts.classes} classes, {described}.\n"
        yield f"| attack \\ defence | {' | '.join(defenses)} |"
        yield "|---" * (len(defenses) + 1) + "|"
        for attack in attacks:
            cells = [_cell(found[attack, defense], letters) for defense in defenses]
            yield f"| {attack} | {' | '.join(cells)} |"
        yield ""
    yield "## Reasons\n"
    yield from (f"- **{letter}**: {reason}." for reason, letter in letters.items())
    yield _TAIL


_TAIL = """
`dataset=custom` runs as census (a table) or lfw (pictures) where `dataset.sensitive` names columns, else as fmnist.
LFW and CelebA without `dataset.sensitive` run as fmnist.

What depends on the numbers is refused for its own reason, also before training: ratios that the records cannot give
(`distribution_inference`), more queries than records (`model_extraction`), more records to poison than there are of
other classes (`badnets`) or of the target class (`sig`), a trigger that is larger than the picture, too few triggers to
prove anything (`watermark`).
Models that need pictures (`cnn`, `vgg11`, `resnet18`, `vit`, ...) or a table (`ft_transformer`) refuse the other kind
of data."""


def _cell(reason: str | None, letters: dict[str, str]) -> str:
    if reason is None:
        return "runs"
    return f"**{letters.setdefault(reason, 'abcdefghijklmnopqrstuvwxyz'[len(letters)])}**"


if __name__ == "__main__":
    sys.stdout.write(markdown())
