"""What defences do to risks, from any runs: a cell for every defence and risk, judged together."""

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from amulet.assessment.literature import FAMILIES
from amulet.core.facts import RiskFacts
from amulet.core.risk import code_order
from amulet_cli.analysis.comparisons import comparison
from amulet_cli.analysis.groups import natural
from amulet_cli.analysis.matrix.sources import key_of, measured, pair_of, row_of
from amulet_cli.analysis.rows import SETTING, Row, RunGroup, above_chance
from amulet_cli.analysis.warnings import expectation_of, warnings_of
from amulet_cli.base.errors import UsageError
from amulet_cli.base.serialize import as_text, differing, flat
from amulet_cli.results.result import VICTIMS, Result, shaping

if TYPE_CHECKING:
    from amulet.assessment.literature import Expectation
    from amulet.assessment.verdict import Verdict

Agreement = Literal["agrees", "contradicts", "not seen", "was unexplored", "not comparable", ""]
_CHOSEN = ("defense", "second_defense", "attack", "metric")


@dataclass(frozen=True, kw_only=True)
class Entry(Row):
    """One deciding metric of one risk under one defence, over seeds."""

    verdict: "Verdict"  # pyright: ignore[reportGeneralTypeIssues] - a row may lack one, an entry never does
    expected: "Expectation | None" = None
    """What the literature says; None where its table has no such defence."""
    setting: str = ""
    """How it was measured, where the same was measured in several ways."""
    not_comparable: str = ""
    """Why it says nothing about the literature, which speaks of defences that work."""

    @property
    def risk(self) -> RiskFacts:
        """The risk that it decides on."""
        return self.cell.facts.risks[self.facts.risk]

    @property
    def attribute(self) -> str:
        """The sensitive attribute of a risk that has one metric for each; else empty."""
        return self.facts.subject.get("attribute", "")

    @property
    def pursued(self) -> bool:
        """Whether the defence sets out to improve it, of several metrics that decide its risk."""
        return self.cell.facts.pursued(self.metric)

    @property
    def outcome(self) -> str:
        """The verdict on the risk."""
        return self.verdict.outcome

    @property
    def fixed(self) -> bool:
        """Whether nothing can change it."""
        return self.outcome == "unchanged by construction"

    @property
    def harm(self) -> float:
        """The change in the direction that is worse for the victim: positive, the risk rises. NaN without a pair.

        A share's difference as it is; of any other metric the difference relative to the undefended victim's mean.
        """
        sign = -1 if self.facts.harm == "lower" else 1
        if self.fraction:
            return sign * self.change.mean
        before = self.summaries["undefended"].mean
        return sign * self.change.mean / abs(before) if before else math.nan

    @property
    def agreement(self) -> Agreement:
        """How the verdict stands to the literature; empty where that says nothing of such a defence."""
        if self.expected is None:
            return ""
        if self.expected.direction == "unexplored":
            return "was unexplored"
        if self.not_comparable:
            return "not comparable"
        if self.outcome in ("no evidence", "equivalent"):
            return "not seen"
        return "agrees" if self.outcome == self.expected.direction else "contradicts"


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """All defences and risks of runs that agree in data set, model and every other setting."""

    setting: Mapping[str, Any]
    """Data set and model, and whatever tells these runs from those of other matrices."""
    defenses: tuple[str, ...]
    """In the order of the rows; with its settings where one defence was used with several."""
    risks: tuple[str, ...]
    """Codes, in the paper's order."""
    titles: Mapping[str, str]
    """By code."""
    cells: Mapping[tuple[str, str], tuple[Entry, ...]]
    """By defence and the risk's code: an entry for each deciding metric, and for each way it was measured."""
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """Pairs that make no sense, with the reason."""
    victim_warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """By defence: what is doubtful about its victims, whatever the risk."""
    verification: Mapping[str, tuple[Row, ...]] = field(default_factory=dict[str, tuple[Row, ...]])
    """By defence that verifies ownership: how well that works. What it is for, where it alters no weight."""
    notes: tuple[str, ...] = ()
    missing: tuple[Result, ...] = ()
    """Runs that failed or are not finished."""

    @property
    def title(self) -> str:
        """The setting in one line: `census · linearnet`."""
        words = [
            as_text(value) if key in ("dataset", "model") else f"{key} {as_text(value)}"
            for key, value in self.setting.items()
        ]
        return " · ".join(words)

    @property
    def named(self) -> tuple[tuple[str, Entry], ...]:
        """All entries, row by row, each with its defence."""
        return tuple((name, one) for name in self.defenses for code in self.risks for one in self.of(name, code))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The same without the defences."""
        return tuple(entry for _, entry in self.named)

    def of(self, defense: str, code: str) -> tuple[Entry, ...]:
        """The entries of a cell; none where nothing was measured."""
        return self.cells.get((defense, code), ())

    @property
    def compared(self) -> int:
        """How many comparisons the verdicts are corrected for."""
        return sum(not math.isnan(entry.verdict.p_value) for entry in self.entries)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed of which there is a pair."""
        found = {seed for entry in self.entries for seed in entry.values["defended"]}
        return tuple(sorted(found))


def interactions(results: Sequence[Result], smallest_effect: Mapping[str, float] | None = None) -> Interactions:
    """The matrix of runs that agree in everything but defence, attack, metrics and seed.

    Raises:
        UsageError: no finished run has a defence, or the runs are of several data sets, models or other settings.
    """
    found = matrices(results, smallest_effect)
    if len(found) != 1:
        titles = "; ".join(one.title for one in found)
        raise UsageError(f"These runs make {len(found)} matrices, not one: {titles}")
    return found[0]


def matrices(results: Sequence[Result], smallest_effect: Mapping[str, float] | None = None) -> tuple[Interactions, ...]:
    """A matrix for every data set, model and other setting among finished runs that have a defence.

    Raises:
        UsageError: there is no such run.
    """
    groups: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.finished and "defended" in result.metrics:
            groups[key_of([*result.setting[:2], _other(result)])].append(result)
    if not groups:
        raise UsageError(
            "There is no finished run with a defence",
            expected="runs as of `amulet matrix`, or of `amulet run` with defense=",
        )
    configs = [flat(_other(runs[0])) for runs in groups.values()]
    telling = [key for key in differing(configs) if not key.startswith(("dataset.", "model."))]
    count = Counter(runs[0].setting[:2] for runs in groups.values())
    made: list[Interactions] = []
    for runs, config in zip(groups.values(), configs, strict=True):
        place = runs[0].setting[:2]
        setting = dict(zip(SETTING, place, strict=False))
        setting |= {key: config.get(key) for key in telling if count[place] > 1}
        rest = [r for r in results if not r.finished and r.setting[:2] == place]
        made.append(_matrix(runs, rest, setting, smallest_effect))
    return tuple(made)


def _other(result: Result) -> dict[str, Any]:
    """The settings that all runs of one matrix share."""
    return {key: value for key, value in shaping(result.config).items() if key not in _CHOSEN}


def _matrix(
    runs: Sequence[Result],
    rest: Sequence[Result],
    setting: Mapping[str, Any],
    smallest_effect: Mapping[str, float] | None,
) -> Interactions:
    from amulet.assessment.verdict import judge

    names = _names(runs)
    notes: dict[str, None] = {}
    found = [(name, row, how) for name, its in names.items() for row, how in measured(its, notes)]
    verdicts = judge({i: comparison(row, smallest_effect) for i, (_, row, _) in enumerate(found)})
    cells: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
    for i, (name, row, how) in enumerate(found):
        entry = Entry(
            cell=row.cell,
            metric=row.metric,
            values=row.values,
            verdict=verdicts[i],
            expected=expectation_of(row),
            setting=how,
            warnings=warnings_of(row),
        )
        cells[name, entry.risk.code].append(entry)
    compared = {key: tuple(_compared(key[0], entries, cells)) for key, entries in cells.items()}
    refused = _refused(names, rest)
    codes = {code for _, code in (*cells, *refused)}
    known = {risk.code: risk for run in (*runs, *rest) for risk in run.facts.risks.values()}
    return Interactions(
        setting=setting,
        defenses=tuple(names),
        risks=tuple(sorted(codes, key=code_order)),
        titles={code: known[code].title for code in codes},
        cells=compared,
        refused={key: reason for key, reason in refused.items() if key not in cells},
        victim_warnings={name: found for name, its in names.items() if (found := tuple(_of_victims(its)))},
        verification={name: rows for name, its in names.items() if (rows := tuple(_verification(name, its)))},
        notes=tuple(notes),
        missing=tuple(result for result in rest if result.state != "refused"),
    )


_DECIDED = ("rises", "falls", "equivalent", "no evidence")


def _compared(name: str, entries: Sequence[Entry], cells: Mapping[tuple[str, str], Sequence[Entry]]) -> Iterator[Entry]:
    """Entries that say why they cannot be compared with the literature, if they cannot."""
    own = {one.risk for entry in entries for one in entry.cell.facts.defenses}
    its = [entry for (other, _), some in cells.items() if other == name for entry in some if entry.risk.name in own]
    proofs = [entry for entry in its if entry.facts.verifies]  # of a defence that proves, and does not prevent
    its = proofs or its
    worked = any(entry.outcome == "falls" for entry in its)
    found = "; ".join(f"{entry.risk.code} {entry.metric}: {entry.outcome}" for entry in its) or "it was not measured"
    for entry in entries:
        reason = ""
        if entry.outcome not in _DECIDED:
            reason = entry.verdict.reason or entry.outcome
        elif proofs and entry.risk.name in own and not entry.facts.verifies:
            reason = f"the literature speaks of what the defence is for: {', '.join(one.metric for one in proofs)}"
        elif not worked:
            reason = f"the defence does not lower its own risk here ({found})"
        yield dataclasses.replace(entry, not_comparable=reason)


def _names(runs: Sequence[Result]) -> dict[str, list[Result]]:
    """The runs of each defence, by its name; with the settings that differ where one has several."""
    by_settings: dict[str, list[Result]] = {}
    for run in runs:
        by_settings.setdefault(key_of([run.setting[2], _defenses(run)]), []).append(run)
    groups = sorted(by_settings.values(), key=lambda its: (_rank(its[0]), [natural(part) for part in _words(its[0])]))
    named: dict[str, list[Result]] = {}
    for its in groups:
        name = its[0].setting[2]
        similar = [flat(_defenses(others[0])) for others in groups if others[0].setting[2] == name]
        mine = flat(_defenses(its[0]))
        words = [f"{key.partition('.')[2]}={as_text(mine.get(key))}" for key in differing(similar)]
        named[" ".join((name, *words))] = its
    return named


def _rank(run: Result) -> tuple[int, int]:
    """One defence before two, in the literature's order, those of others last."""
    defenses = run.facts.defenses
    family = defenses[0].family if defenses else ""
    return len(defenses), FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _words(run: Result) -> list[str]:
    return [run.setting[2], *map(as_text, flat(_defenses(run)).values())]


def _defenses(run: Result) -> dict[str, Any]:
    return {key: run.config.get(key) for key in ("defense", "second_defense") if run.config.get(key)}


def _of_victims(runs: Sequence[Result]) -> Iterator[str]:
    """Victims that have hardly learned the task: by victim the seeds, and how near to the majority class they are."""
    for victim in VICTIMS:
        near = {run.seed: margin for run in runs if (margin := above_chance(run, victim)) is not None}
        if near:
            yield (
                f"{victim}: test accuracy within 5 points of always answering the majority class on seed "
                f"{', '.join(map(str, sorted(near)))} (nearest {100 * min(near.values()):+.1f} points)"
            )


def _verification(name: str, runs: Sequence[Result]) -> Iterator[Row]:
    """How a defence's verification of ownership works, in the runs where it was tried."""
    metrics = {m for run in runs for m in run.metrics["defended"] if run.facts.of(m).verifies}
    facts = RunGroup(labels={}, runs=dict(enumerate(runs))).facts
    for metric in sorted(metrics, key=lambda metric: (facts.order(metric), metric)):
        tried = {run.seed: run for run in reversed(runs) if pair_of(run, metric) is not None}
        if tried:
            yield row_of(tried, metric)


def _refused(names: Mapping[str, Sequence[Result]], rest: Sequence[Result]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for name, runs in names.items():
        for run in runs:
            reasons = run.manifest.get("refused")
            for risk, reason in cast(Mapping[str, str], reasons or {}).items():
                if risk in run.facts.risks:
                    found[name, run.facts.risks[risk].code] = str(reason)
    for run in rest:
        risk = run.facts.risks.get(run.facts.attacked)
        if run.state == "refused" and risk and run.setting[2] in names:
            found.setdefault((run.setting[2], risk.code), run.reason)
    return found
