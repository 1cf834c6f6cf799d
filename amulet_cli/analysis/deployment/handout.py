"""Everything that a report to hand on says, computed once; the views only say where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amulet_cli.analysis.deployment.findings import (
    ANY,
    UTILITY,
    Finding,
    clauses_by_framework,
    findings_of,
    worst_of,
)
from amulet_cli.analysis.deployment.sheet import Sheet, sheet_of
from amulet_cli.analysis.deployment.words import Clause, words
from amulet_cli.analysis.gate.judging import Gate, judge_policy
from amulet_cli.analysis.gate.policy import Policy
from amulet_cli.analysis.gate.subjects import place_of, victim_of, victims_of
from amulet_cli.analysis.groups import Report, aggregate
from amulet_cli.analysis.rows import RunGroup
from amulet_cli.base.errors import UsageError
from amulet_cli.results.result import VICTIMS, Result

if TYPE_CHECKING:
    from amulet_cli.analysis.deployment.exposed import Exposed


@dataclass(frozen=True, kw_only=True)
class Untested:
    """A risk without a number, and why."""

    plain: str
    code: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Handout:
    """What is said about one served model."""

    defended: bool
    sheet: Sheet
    findings: tuple[Finding, ...]
    """All measurements that decide on a risk, and how good the answers are."""
    untested: tuple[Untested, ...]
    incomplete: tuple[tuple[str, str], ...]
    """Runs without numbers: their setting and why."""
    exposed: "tuple[Exposed, ...]"
    """By model, the one that exposes most first."""
    clauses: tuple[tuple[Clause, tuple[str, ...]], ...]
    gate: Gate | None
    warnings: tuple[str, ...]
    trial: bool
    """Whether the runs are trials, whose numbers do not count."""

    @property
    def worst(self) -> list[Finding]:
        """For each risk and subject the worst measurement, what nobody attacks first."""
        return worst_of(self.findings)

    @property
    def risks(self) -> list[str]:
        """The risks with a number, in plain words."""
        return list(dict.fromkeys(one.plain for one in self.findings if one.risk != UTILITY and not one.found.missing))

    @property
    def threats(self) -> list[Finding]:
        """One measurement of each attacker: who it is, and what it was allowed."""
        attacks = (one for one in self.findings if one.attacked)
        return list({(one.risk, one.attack, one.who, one.budget): one for one in attacks}.values())

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """What the measurements warned of, each once, with its risk."""
        return list(dict.fromkeys((one.code, text) for one in self.findings for text in one.remarks))


def handout(results: Sequence[Result], policy: Policy | None = None) -> Handout:
    """Everything there is to say about the one model that the runs are about.

    Raises:
        UsageError: they are about several models, or have no number that decides on a risk.
    """
    from amulet.assessment import RISKS
    from amulet_cli.analysis.deployment.exposed import exposed_records

    report = aggregate(results)
    cells, victim = _served(report)
    findings = findings_of(report, cells, victim)
    if not any(one.risk != UTILITY for one in findings):
        raise UsageError("No run here measured a risk", expected="runs of `amulet audit`, or with `attack=`")
    there = {one.risk for one in findings if not one.found.missing}
    untested = [
        Untested(
            plain=words().of(risk.name).plain or risk.title,
            code=f"{risk.code} {risk.title}",
            reasons=tuple(sorted({one.found.missing for one in findings if one.risk == risk.name})),
        )
        for risk in RISKS.values()
        if risk.name not in there
    ]
    runs = [run for cell in cells for run in cell.runs.values()]
    return Handout(
        defended=victim == VICTIMS[1],
        sheet=sheet_of(cells, victim),
        findings=tuple(findings),
        untested=tuple(untested),
        incomplete=tuple(
            (" · ".join((*run.setting, f"seed {run.seed}")), ": ".join(filter(None, (run.standing, run.reason))))
            for run in report.missing
        ),
        exposed=tuple(exposed_records(cells, victim)),
        clauses=tuple(clauses_by_framework(findings)),
        gate=judge_policy(policy, results) if policy else None,
        warnings=tuple(dict.fromkeys(text for run in runs for text in run.warnings)),
        trial=any(run.trial for run in runs),
    )


def _served(report: Report) -> tuple[Sequence[RunGroup], str]:
    """The groups of runs that measured the model which would be served, and which victim it is in them."""
    found = victims_of(ANY, report)
    if len(found) != 1:
        told = [place_of(cells[0], victim_of(ANY, cells[0]), report, attack=False)[0] for cells in found]
        folders = [str(cells[0].first.folder.parents[2]) for cells in found]
        raise UsageError(
            f"A report to hand on is about one model, these runs are about {len(found)}: {'; '.join(told)}",
            expected="the folder of one model",
            meant=list(dict.fromkeys(folders))[:3],
        )
    return found[0], victim_of(ANY, found[0][0])
