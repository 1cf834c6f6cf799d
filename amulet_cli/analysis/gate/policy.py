"""A policy: the limits that somebody who answers for a model has set, read from a YAML file and checked."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.files import is_file
from amulet_cli.base.serialize import as_text
from amulet_cli.config.option_files import read_option
from amulet_cli.results.result import VICTIMS

Severity = Literal["error", "warning"]
SHIPPED = Path(__file__).parents[2] / "policies"
SEVERITIES, REFERENCES, ON_INCONCLUSIVE = ("error", "warning"), ("undefended", "baseline"), ("fail", "pass")
_POLICY = ("title", "about", "on_inconclusive", "rules")
_RULE = ("id", "metric", "victim", "at_least", "at_most", "where", "relative_to", "severity", "why")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One limit."""

    id: str
    metric: str
    """Its name in results, with its subject (`race.auc`) or without, which takes all; of one risk: `P1.auc`."""
    at_least: float | None = None
    """Exactly one of both limits is set; fractions between 0 and 1."""
    at_most: float | None = None
    victim: str = ""
    """`undefended` or `defended`; empty: the one that would be served, defended if there is a defence."""
    where: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings under which it must have been measured."""
    relative_to: str = ""
    """`undefended`: the limit is on the change from that victim; `baseline`: on the distance from the baseline."""
    severity: Severity = "error"
    why: str = ""

    @property
    def limit(self) -> float:
        """The number that is set."""
        return self.at_least if self.at_least is not None else cast(float, self.at_most)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Rules, and what an interval on both sides of a limit means."""

    title: str
    rules: tuple[Rule, ...]
    file: Path
    about: str = ""
    on_inconclusive: str = "fail"


def shipped_policies() -> dict[str, Path]:
    """The policies that come with Amulet, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def read_policy(name: str) -> Policy:
    """A policy by the path of its file, or by the name of one that comes with Amulet.

    Raises:
        UsageError: there is none, or it is not as policies are.
    """
    shipped = shipped_policies()
    path = Path(name)
    if not is_file(path):
        if name not in shipped:
            raise UsageError(
                f"There is no policy `{name}`",
                expected=f"a YAML file, or one of {', '.join(shipped)}",
                meant=similar(name, shipped),
            )
        path = shipped[name]
    content: Any = read_option(path)
    if not isinstance(content, dict):
        raise UsageError("A policy is a mapping with `rules`", where=str(path))
    told = cast(Mapping[str, Any], content)
    _known(told, _POLICY, str(path))
    rules: Any = told.get("rules")
    if not (isinstance(rules, list) and rules):
        raise UsageError("`rules` must be a list of at least one rule", where=str(path))
    made = tuple(_rule(one, f"{path}, rule {i}") for i, one in enumerate(cast(list[Any], rules), 1))
    for i, rule in enumerate(made):
        if rule.id in {other.id for other in made[:i]}:
            raise UsageError(f"Two rules have the `id` {rule.id}", where=str(path))
    return Policy(
        title=_text(told, "title", str(path)) or path.stem,
        rules=made,
        file=path,
        about=_text(told, "about", str(path)),
        on_inconclusive=_choice(told, "on_inconclusive", ON_INCONCLUSIVE, str(path)) or "fail",
    )


def _rule(told: Any, where: str) -> Rule:
    if not isinstance(told, dict):
        raise UsageError("A rule is a mapping", where=where, expected=", ".join(_RULE))
    told = cast(Mapping[str, Any], told)
    _known(told, _RULE, where)
    for key in ("id", "metric"):
        if not _text(told, key, where):
            raise UsageError(f"A rule needs `{key}`", where=where)
    limits = [key for key in ("at_least", "at_most") if key in told]
    if len(limits) != 1:
        raise UsageError("A rule needs `at_least` or `at_most`, and not both", where=where)
    settings: Any = told.get("where") or {}
    if not isinstance(settings, dict):
        raise UsageError(f"`where` must be settings with values, got {as_text(settings)}", where=where)
    return Rule(
        id=_text(told, "id", where),
        metric=_text(told, "metric", where),
        at_least=_number(told, "at_least", where),
        at_most=_number(told, "at_most", where),
        victim=_choice(told, "victim", VICTIMS, where),
        where={str(key): value for key, value in cast(Mapping[Any, Any], settings).items()},
        relative_to=_choice(told, "relative_to", REFERENCES, where),
        severity=cast(Severity, _choice(told, "severity", SEVERITIES, where) or "error"),
        why=_text(told, "why", where),
    )


def _known(told: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in told:
        if key not in keys:
            near = similar(str(key), list(keys))
            raise UsageError(f"`{key}` is no key that is known here", where=where, expected=", ".join(keys), meant=near)


def _text(told: Mapping[str, Any], key: str, where: str) -> str:
    value = told.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"`{key}` must be text, got {as_text(value)}", where=where)
    return " ".join((value or "").split())


def _choice(told: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> str:
    value = _text(told, key, where)
    if value and value not in choices:
        raise UsageError(
            f"`{key}` must be one of {', '.join(choices)}; got {value}", where=where, meant=similar(value, choices)
        )
    return value


def _number(told: Mapping[str, Any], key: str, where: str) -> float | None:
    if key not in told:
        return None
    value = told[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"`{key}` must be a number, got {as_text(value)}", where=where)
    return float(value)
