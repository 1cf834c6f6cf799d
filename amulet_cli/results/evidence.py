"""Evidence arrays of finished runs for figures: read only from the folder, and no more than needed."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from amulet_cli.base.console import err, here
from amulet_cli.base.files import read_bytes
from amulet_cli.results.result import VICTIMS, Result

FILE = "evidence.npz"
_MOST = 1 << 34  # bytes
_DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)
_SCORES = "membership_inference.scores."
_GROUPS = "discriminatory_behavior."
RATES = ("predicted positive", "true positive rate", "false positive rate")


@dataclass(frozen=True)
class Ranking:
    """The members, and an attack's score for each record."""

    members: NDArray[np.bool_]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class GroupRates:
    """The rates of each group of one sensitive attribute, for one favourable class."""

    attribute: str
    groups: tuple[str, ...]
    records: tuple[int, ...]
    favourable: int
    rates: Mapping[str, NDArray[np.float64]]
    """By victim: (3, groups), rows as in `RATES`; NaN where a group has no record with that label."""


def arrays(result: Result, wanted: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """The arrays whose names contain one of the wanted words, or all; none if there is no file, or a damaged one.

    A damaged one is named on standard error.
    """
    try:
        file = _opened(result)
        return {name: file[name] for name in file if not wanted or any(word in name for word in wanted)}
    except _DAMAGE as error:
        return _tell(result, error)


@dataclass(frozen=True)
class Described:
    """An array without its values."""

    name: str
    shape: tuple[int, ...]
    type: str
    range: tuple[float, float] | None
    """Its least and its largest finite value; None where it has none."""


def described(result: Result) -> list[Described]:
    """Every array of the evidence in words; none if there is no file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        file = _opened(result)
        return [_described(name, file[name]) for name in file]
    except FileNotFoundError:
        if FILE in result.files:
            raise ValueError(f"`{FILE}` is missing") from None
        return []
    except _DAMAGE as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"`{FILE}`: {why or type(error).__name__}") from error


def _described(name: str, array: NDArray[Any]) -> Described:
    span = None
    if array.size and array.dtype.kind in "biuf":
        known = array[np.isfinite(array)]
        span = (float(known.min()), float(known.max())) if known.size else None
    return Described(name=name, shape=array.shape, type=str(array.dtype), range=span)


def names(result: Result) -> list[str]:
    """The names of the arrays; none if there is no file, or a damaged one, which is named on standard error."""
    try:
        return list(_opened(result))
    except _DAMAGE as error:
        return list(_tell(result, error))


def _opened(result: Result) -> Mapping[str, NDArray[Any]]:
    content = read_bytes(result.folder / FILE, _MOST)
    if FILE in result.files and hashlib.sha256(content).hexdigest() != result.files[FILE]:
        raise ValueError("it is not what was written (another checksum)")
    file: Any = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(file, Mapping):
        raise ValueError("it is no archive of arrays")
    return cast(Mapping[str, NDArray[Any]], file)


def _tell(result: Result, error: Exception) -> dict[str, NDArray[Any]]:
    if FILE in result.files or not isinstance(error, FileNotFoundError):
        why = error.strerror if isinstance(error, OSError) else error
        text = f"warning: {here(result.folder / FILE)} is left out: {why or type(error).__name__}"
        err.print(Text(text, "yellow"), soft_wrap=True)
    return {}


def rankings(result: Result, score: str = "lira_online") -> dict[str, Ranking]:
    """By victim, a membership score of each record; `score` is its name, or one that the manifest explains."""
    described = result.manifest.get("membership_inference", {})
    meant = {victim: described.get(victim, {}).get("score_names", {}).get(score, score) for victim in VICTIMS}
    found = arrays(result, ["membership_inference.members", *(f"{_SCORES}{name}" for name in set(meant.values()))])
    rankings: dict[str, Ranking] = {}
    for victim in VICTIMS:
        members = found.get(f"{victim}.membership_inference.members")
        scores = found.get(f"{victim}.{_SCORES}{meant[victim]}")
        if members is not None and scores is not None and 0 < members.sum() < len(members):
            rankings[victim] = Ranking(members.astype(bool), scores.astype(np.float64))
    return rankings


def group_rates(result: Result) -> list[GroupRates]:
    """For each sensitive attribute the rates of its groups for both victims; with several classes the largest gap."""
    found = arrays(result, [_GROUPS])
    known = [victim for victim in VICTIMS if f"{victim}.{_GROUPS}groups" in found]
    if not known:
        return []
    first = f"{known[0]}.{_GROUPS}"
    groups, labels = found[f"{first}groups"], found[f"{first}labels"]
    described = cast(Mapping[str, Any], result.manifest.get("discriminatory_behavior", {}).get(known[0], {}))
    classes = [int(c) for c in described.get("favourable", [1])]
    made: list[GroupRates] = []
    for column, attribute in enumerate(_names(result, groups, described)):
        values, group = np.unique(groups[:, column], return_inverse=True)
        answers = {victim: found[f"{victim}.{_GROUPS}answers"] for victim in known}
        by_class = [
            {victim: _rates(answers[victim] == c, labels == c, group, len(values)) for victim in known} for c in classes
        ]
        widest = max(range(len(classes)), key=lambda i: _width(by_class[i][known[0]]))
        words = result.manifest.get("dataset", {}).get("values", {}).get(attribute, ())
        made.append(
            GroupRates(
                attribute=attribute,
                groups=tuple(str(words[v]) if 0 <= v < len(words) else f"{attribute} {v}" for v in map(int, values)),
                records=tuple(int(n) for n in np.bincount(group, minlength=len(values))),
                favourable=classes[widest],
                rates=by_class[widest],
            )
        )
    return made


def _rates(answers: NDArray[np.bool_], labels: NDArray[np.bool_], group: NDArray[Any], k: int) -> NDArray[np.float64]:
    rows: list[NDArray[np.float64]] = []
    for among in (np.ones_like(labels), labels, ~labels):
        whole = np.bincount(group[among], minlength=k)
        part = np.bincount(group[among & answers], minlength=k)
        rows.append(np.divide(part, whole, out=np.full(k, np.nan), where=whole > 0))
    return np.stack(rows)


def _width(rates: NDArray[np.float64]) -> float:
    shown = rates[0][np.isfinite(rates[0])]
    return float(shown.max() - shown.min()) if len(shown) else 0.0


def _names(result: Result, groups: NDArray[Any], described: Mapping[str, Any]) -> list[str]:
    """The attribute of each column: by its groups' records, which the manifest counts; else as configured."""
    counts = {
        str(name): sorted(int(n) for n in sizes.values())
        for name, sizes in cast(Mapping[str, Mapping[str, Any]], described.get("groups", {})).items()
    }
    names: list[str] = []
    configured = cast(Mapping[str, Any], result.config.get("dataset") or {}).get("sensitive") or []
    for column in range(groups.shape[1]):
        sizes = sorted(np.unique(groups[:, column], return_counts=True)[1].tolist())
        fitting = [name for name, known in counts.items() if known == sizes and name not in names]
        asked = str(configured[column]) if isinstance(configured, list) and column < len(configured) else ""
        names.append(asked if asked in fitting or not fitting else fitting[0])
        names[-1] = names[-1] or f"attribute {column}"
    return names
