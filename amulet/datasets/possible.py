"""What a possible record of a table is, in words: how a column may change, and relations between columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from amulet.core.errors import SettingError

Way = Literal["rises", "falls", "fixed"]
_WAYS: Mapping[str, Way] = {"rises": "rises", "falls": "falls", "fixed": "fixed"}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_EXAMPLES = "`low <= high`, `2 * a + b <= 10`, `total == part + rest`, `age rises`, `age falls` or `age fixed`"


@dataclass(frozen=True)
class Change:
    """A column may only rise, may only fall, or may not change at all."""

    column: str
    way: Way


@dataclass(frozen=True)
class Relation:
    """The sum of weights times columns, in the columns' own units, is at most `bound`, or equal to it."""

    weights: Mapping[str, float]
    bound: float
    equal: bool = False
    assigned: str = ""
    """The one column on the left of an equation, which the others determine; else empty."""


def parse(statements: Sequence[str], names: Sequence[str], setting: str) -> tuple[list[Change], list[Relation]]:
    """Read statements about the columns of a table.

    Args:
        statements: `low <= high`, `2 * a + b <= 10`, `total == part + rest`, `age rises`, `age falls`, `age fixed`.
            A one-hot column is 0 or 1, so `relation=wife <= status=married` says that the one implies the other.
        names: of the columns.
        setting: what messages call the statements.

    Raises:
        SettingError: what cannot be read, or columns that there are not.

    >>> parse(["a <= 2 * b - 3"], ["a", "b"], "constraints")[1]
    [Relation(weights={'a': 1.0, 'b': -2.0}, bound=-3.0, equal=False, assigned='')]
    """
    changes: list[Change] = []
    relations: list[Relation] = []
    longest = sorted(names, key=len, reverse=True)
    words = [*map(re.escape, longest), "<=", ">=", "==", r"[-+*]", _NUMBER, "rises", "falls", "fixed"]
    token = re.compile("|".join(words))
    for statement in statements:
        tokens = list(_tokens(statement, token, setting))
        if len(tokens) == 2 and tokens[1] in _WAYS and tokens[0] in names:
            changes.append(Change(tokens[0], _WAYS[tokens[1]]))
        else:
            relations.append(_relation(statement, tokens, set(names), setting))
    return changes, relations


def _tokens(statement: str, token: re.Pattern[str], setting: str) -> Iterator[str]:
    place = 0
    while place < len(statement):
        if statement[place].isspace():
            place += 1
            continue
        found = token.match(statement, place)
        if found is None:
            word = next(one.group() for one in re.finditer(r"\S+", statement) if one.end() > place)
            raise SettingError(
                f"`{setting}`: nothing is known of `{word}` in `{statement}`; expected a column, as in {_EXAMPLES}"
            )
        yield found.group()
        place = found.end()


def _relation(statement: str, tokens: Sequence[str], names: set[str], setting: str) -> Relation:
    places = [i for i, one in enumerate(tokens) if one in ("<=", ">=", "==")]
    if len(places) != 1:
        raise SettingError(f"`{setting}` must be statements such as {_EXAMPLES}; got `{statement}`")
    sign = tokens[places[0]]
    left, right = (_sum(part, names) for part in (tokens[: places[0]], tokens[places[0] + 1 :]))
    if left is None or right is None:
        raise SettingError(
            f"`{setting}` must be sums of columns, numbers or both, as in {_EXAMPLES}; got `{statement}`"
        )
    weights, bound = dict(left[0]), right[1] - left[1]
    for name, weight in right[0].items():
        weights[name] = weights.get(name, 0.0) - weight
    if not any(weights.values()):
        raise SettingError(f"`{setting}` must say something of a column; `{statement}` does not")
    if sign == ">=":
        weights, bound = {name: -weight for name, weight in weights.items()}, -bound
    alone = left[0] if sign == "==" and len(left[0]) == 1 else {}
    assigned = next((name for name in alone if name not in right[0]), "")
    return Relation(weights, bound, sign == "==", assigned)


def _sum(tokens: Sequence[str], names: set[str]) -> tuple[dict[str, float], float] | None:
    """Weights by column and a constant; None if it cannot be read."""
    terms: list[tuple[float, list[str]]] = [(1.0, [])]
    for one in tokens:
        if one in ("+", "-") and one not in names:
            terms.append((1.0 if one == "+" else -1.0, []))
        else:
            terms[-1][1].append(one)
    if not terms[0][1]:  # a sign in front
        terms = terms[1:]
    weights: dict[str, float] = {}
    constant = 0.0
    for sign, factors in terms:
        columns = [one for one in factors[::2] if one in names]
        numbers = [one for one in factors[::2] if one not in names]
        if len(factors) % 2 == 0 or any(one != "*" for one in factors[1::2]) or len(columns) > 1:
            return None
        if not all(re.fullmatch(_NUMBER, one) for one in numbers):
            return None
        product = sign
        for number in numbers:
            product *= float(number)
        if columns:
            weights[columns[0]] = weights.get(columns[0], 0.0) + product
        else:
            constant += product
    return (weights, constant) if terms else None
