"""The names that people read, of what runs are about: `adversarial training` for `adv_training`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amulet.core.component import in_words
from amulet.core.facts import DefenseFacts, MetricFacts, RunFacts
from amulet_cli.analysis.rows import SETTING, Row, RunGroup
from amulet_cli.base.serialize import as_text

_ABBREVIATIONS = frozenset({"auc", "roc", "tpr", "fpr", "fnr", "mse", "ssim"})
_PARTS = {"defense": "defence", "second_defense": "second defence"}


def option_names(cells: Iterable[RunGroup]) -> dict[str, str]:
    """By option of a defence or an attack its name for people; with the option where several have one name."""
    found: dict[str, str] = {}
    for cell in cells:
        facts = cell.facts
        found.setdefault(as_text(cell.labels["defense"]), defense_name(facts.defenses))
        attack = facts.attack
        found.setdefault(as_text(cell.labels["attack"]), attack.title or in_words(attack.kind) if attack else "")
    names = {option: name or spaced(option) for option, name in found.items()}
    several = {name for name in names.values() if list(names.values()).count(name) > 1}
    names = {option: f"{name} ({option})" if name in several else name for option, name in names.items()}
    return names | {"none": "none"}


def named(text: str, names: Mapping[str, str], between: str = " · ") -> str:
    """A setting such as `census · adv_training, defense.epsilon 0.1`, its options by name.

    >>> named("census · adv_training, epochs 3", {"adv_training": "adversarial training"})
    'census · adversarial training, epochs 3'
    """
    first, comma, rest = text.partition(", ")
    words = first.removesuffix(f"{between}none").split(between)  # no attack was chosen: each risk has its default one
    return between.join(names.get(word, word) for word in words) + comma + rest


def setting_name(labels: Mapping[str, Any], *, without: str = "") -> str:
    """A setting in words: `census · linearnet · adv_training · lira, defense.epsilon 0.1`."""
    more = label_words(labels, [key for key in labels if key not in (*SETTING, without)])
    return ", ".join((" · ".join(as_text(labels[key]) for key in SETTING), *more))


def label_words(labels: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """`defense.epsilon 0.1` for each of these labels that is set."""
    return [f"{key} {text}" for key in keys if (text := as_text(labels.get(key)))]


def metric_title(facts: MetricFacts, run: RunFacts | None = None) -> str:
    """What a metric says, with what it is about: `AUC of telling members from others (LiRA online)`."""
    about = [
        value_title(value, run) if value[:1].isalpha() else f"{spaced(key)} {value}"
        for key, value in facts.subject.items()
    ]
    label = spaced(facts.label)
    about = [words for words in about if words.lower() not in label.lower()]  # labels of old results have it in them
    return f"{label} ({', '.join(about)})" if about else label


def value_title(text: str, run: RunFacts | None = None) -> str:
    """A subject as words, classes of the run written as they are: `lira_online` as `LiRA online`.

    >>> value_title("race"), value_title("worst_group")
    ('race', 'worst group')
    """
    known = [one.kind for one in (*run.attacks.values(), *run.defenses)] if run else []
    classes = {name.lower(): name for kind in known if (name := kind.rpartition(".")[2])}
    return " ".join(classes.get(word.lower(), word) for word in spaced(text).split())


def row_title(row: Row) -> str:
    """A row's metric with the budget at which it was measured."""
    title, at = metric_title(row.facts, row.cell.facts), row.facts.at
    return f"{title} at {at}" if at else title


def rows_title(rows: Sequence[Row]) -> str:
    """What rows of one metric have in common: also its budget, if that is one."""
    same = len({row.facts.at for row in rows}) == 1
    return row_title(rows[0]) if same else metric_title(rows[0].facts, rows[0].cell.facts)


def spaced(text: str) -> str:
    """An identifier as words, the field's abbreviations in capitals.

    >>> spaced("fidelity_kappa"), spaced("race.auc")
    ('fidelity kappa', 'race AUC')
    """
    words = re.split(r"[._]+", text)
    return " ".join(word.upper() if word in _ABBREVIATIONS else word for word in words)


def setting_title(key: str) -> str:
    """A setting as words: which part of a run it is of.

    >>> setting_title("defense.epsilon"), setting_title("epochs"), setting_title("metric.evasion.attack.steps")
    ('epsilon of the defence', 'epochs', 'steps of the attack')
    """
    before, _, last = key.lstrip("+").rpartition(".")
    part = before.rpartition(".")[2]
    return f"{spaced(last)} of the {_PARTS.get(part, spaced(part))}" if part else spaced(last)


def matrix_names(defenses: Sequence[str], cells: Iterable[RunGroup]) -> dict[str, str]:
    """The rows of a matrix as people call them: `adv_training epsilon=0.1` as `adversarial training epsilon=0.1`."""
    names = option_names(cells)
    parts = {row: row.partition(" ") for row in defenses}
    return {row: names.get(option, spaced(option)) + more + last for row, (option, more, last) in parts.items()}


def defense_name(defenses: Sequence[DefenseFacts]) -> str:
    """What people call a defence, or two together; empty without one."""
    return " with ".join(one.title or one.family or in_words(one.kind) for one in defenses)
