"""The paper's Table 5: its unexplored and partly explored interactions, with what our runs find for each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from amulet.assessment.risks import RISKS
from amulet_cli.analysis.groups import aggregate, comparison
from amulet_cli.analysis.rows import Row
from amulet_cli.analysis.warnings import warnings_of
from amulet_cli.base import format_numbers
from amulet_cli.base.errors import UsageError
from amulet_cli.base.serialize import as_text, tidy_csv
from amulet_cli.paper.tables import printed
from amulet_cli.results.result import Result

if TYPE_CHECKING:
    from amulet.assessment.verdict import Verdict

_TWO = "adv_training+dataset_inference"
_RECOGNISED = (
    "ownership_accuracy",
    "ownership_fpr",
    "ownership_fnr",
    "stolen.ownership_fnr",
    "fine_tuned.ownership_fnr",
)
_POISONED = "after_poisoning."
_LEAKED = "fingerprint_membership_auc", "fingerprint_attribute_auc"
_DEFENSES = {
    "adv_training": "SD1 adversarial training",
    "outlier_removal": "SD2 outlier removal",
    "dataset_inference": "SD3 fingerprinting",
    "dp_sgd": "PD1 differential privacy",
    "adv_debiasing": "FD1 adversarial debiasing",
    _TWO: "SD1 with SD3",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One metric of one interaction."""

    defense: str
    risk: str
    status: str
    """What the paper says of the pair: `unexplored`, `partly explored`, or that its Table 5 has it not."""
    paper: str
    """What the paper itself found; mostly nothing."""
    note: str
    source: str
    row: Row | None = None
    """Our runs; None if there are none, or none with a number."""
    lost: str = ""
    """The deciding metric, where there are runs and it could not be had in any of them."""

    @property
    def name(self) -> str:
        """`SD1 adversarial training -> P2 attribute inference`."""
        risk = RISKS[self.risk]
        return f"{_DEFENSES.get(self.defense, self.defense)} → {risk.code} {risk.title}"

    @property
    def outcome(self) -> str:
        """The verdict; without one `not measured` or `no run`."""
        return self.verdict.outcome if self.verdict else "not measured" if self.lost else "no run"

    @property
    def verdict(self) -> "Verdict | None":
        """Corrected over the rows of this table."""
        return self.row.verdict if self.row else None

    @property
    def verification(self) -> Mapping[str, float]:
        """What an ownership defence in these runs recognises of the defended model, and gives away: means over seeds.

        `recognised` is the share of seeds in which it knows an exact copy; baselines end in `.baseline`.
        """
        if self.row is None:
            return {}
        runs = self.row.cell.runs.values()
        known = [run.metrics.get("defended", {}) for run in runs]
        plain = [run.baselines.get("defended", {}) for run in runs]
        found = {name: _mean(known, name) for name in dict.fromkeys(name for run in known for name in run)}
        described = {name: value for name, value in found.items() if name.removeprefix(_POISONED) in _RECOGNISED}
        for name in (name for name in found if name.endswith(_LEAKED)):
            described |= {name: found[name], f"{name}.baseline": _mean(plain, name)}
        nodes = [self.row.cell.config.get(key) or {} for key in ("defense", "second_defense")]
        alpha = next((node["alpha"] for node in nodes if "alpha" in node), 0)
        for prefix in ("", _POISONED):
            p_values = [run[f"{prefix}p_value"] for run in known if f"{prefix}p_value" in run]
            if p_values and alpha:
                described[f"{prefix}recognised"] = sum(p <= alpha for p in p_values) / len(p_values)
        return described

    @property
    def sentence(self) -> str:
        """What we found, in one sentence."""
        if self.row is None or self.verdict is None:
            collapsed = f"{self.lost} is null for one of the victims on every seed: read the runs' warnings."
            return f"Not measured: {collapsed}" if self.lost else "No run here."
        change, fraction = self.row.change, self.row.facts.fraction
        unit = " points" if fraction else ""
        if self.outcome == "unchanged by construction":
            return f"Unchanged by construction: {self._given_away()}"
        moved = f"{format_numbers.change(change.mean, fraction=fraction)}{unit}"
        span = format_numbers.interval(change.low, change.high, fraction=fraction, signed=True)
        moved = f"{moved} {span}".rstrip()
        seen = format_numbers.number(self.verdict.detectable, fraction=fraction, unit=False)
        if self.outcome == "no evidence":
            return f"No evidence of a change: {moved}; a change of {seen}{unit} would have been seen."
        if self.outcome == "too few seeds":
            return f"{moved} over {format_numbers.plural(change.n, 'seed')}: too few for a verdict."
        if self.outcome == "equivalent":
            return f"Equivalent: {moved}, within the smallest change that counts."
        if self.outcome in ("cannot show", "not measurable"):
            return f"{self.outcome.capitalize()}: {moved}; {self.verdict.reason}."
        return f"The risk {self.outcome}: {moved}, p = {self.verdict.p_value:.2g}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the risk's measurement warned of: why the number may not carry its claim."""
        if self.row is None or self.outcome == "unchanged by construction":
            return ()
        return warnings_of(self.row)

    def _given_away(self) -> str:
        """What is asked of a defence that changes no weight: does it still work, and what does it show?"""
        known = self.verification
        if self.risk == "poisoning":
            poisoned = {name.removeprefix(_POISONED): known[name] for name in known if name.startswith(_POISONED)}
            said = [_recognises("of the poisoned model", poisoned), _recognises("of the clean one", known)]
        elif self.risk == "attribute_inference":
            attribute = self.row.metric.partition(".")[0] if self.row else ""
            said = [_tells(f"fingerprints tell {attribute}", "answers and labels", known, f"{attribute}.{_LEAKED[1]}")]
        else:
            said = [
                _recognises("", known),
                _tells("fingerprints tell a training record", "the loss", known, _LEAKED[0]),
            ]
        return f"{'; '.join(text for text in said if text) or 'it changes no weight'}."


def _mean(runs: Sequence[Mapping[str, float]], name: str) -> float:
    values = [run[name] for run in runs if name in run and not math.isnan(run[name])]
    return sum(values) / len(values) if values else math.nan


def _recognises(whose: str, known: Mapping[str, float]) -> str:
    names = {
        "recognised": ("an exact copy in {} of the seeds", False),
        "fine_tuned.ownership_fnr": ("{} of fine-tuned copies", True),
        "stolen.ownership_fnr": ("{} of stolen models", True),
    }
    parts = [
        text.format(format_numbers.number(1 - known[name] if missed else known[name]))
        for name, (text, missed) in names.items()
        if name in known
    ]
    if "ownership_fpr" in known:
        parts.append(f"and wrongly {format_numbers.number(known['ownership_fpr'])} of independent models")
    return f"{f'{whose} ' if whose else ''}it recognises {', '.join(parts)}" if parts else ""


def _tells(what: str, beside: str, known: Mapping[str, float], name: str) -> str:
    if math.isnan(known.get(name, math.nan)):
        return ""
    mine, theirs = format_numbers.number(known[name]), format_numbers.number(known[f"{name}.baseline"])
    return f"{what} with an AUC of {mine} ({beside} alone: {theirs})"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Table 5 on one data set and model."""

    title: str
    rows: Sequence[Finding]
    notes: Sequence[str] = ()


def findings(results: Sequence[Result]) -> list[Findings]:
    """The rows of Table 5 for each data set and model, verdicts corrected over the rows of that table.

    Raises:
        UsageError: no run here is about any of them.
    """
    lines = printed("table5")
    defenses = {line["defense"] for line in lines}
    ours = [result for result in results if result.setting[2] in defenses]
    found: list[Findings] = []
    for place in dict.fromkeys(result.setting[:2] for result in ours):
        here = [result for result in ours if result.setting[:2] == place]
        rows, notes = _chosen(aggregate(here).rows, lines)
        if any(row.row for row in rows):
            found.append(Findings(title=f"Table 5 · {' · '.join(place)}", rows=rows, notes=notes))
    if not found:
        raise UsageError(
            "No finished run here belongs to Table 5: unexplored interactions", try_="amulet run +experiment=table5"
        )
    return found


def as_csv(tables: Sequence[Findings]) -> str:
    """One row per interaction and metric, fractions as they are."""
    return tidy_csv([_record(table, row) for table in tables for row in table.rows])


def _chosen(rows: Sequence[Row], lines: Sequence[Mapping[str, str]]) -> tuple[list[Finding], list[str]]:
    """For every line its metrics; where several settings have them, the one that was made for this table."""
    picked: list[tuple[Mapping[str, str], Row | None, str]] = []
    notes: list[str] = []
    for line in lines:
        deciding = [row for row in rows if row.cell.labels["defense"] == line["defense"] and _decides(line, row)]
        fitting = [row for row in deciding if row.pairs[0]]
        metrics = dict.fromkeys(row.metric for row in fitting)
        for metric in metrics:
            rivals = sorted((row for row in fitting if row.metric == metric), key=_made_for_it)
            picked.append((line, rivals[0], ""))
            if len(rivals) > 1:
                others = format_numbers.plural(len(rivals) - 1, "other setting")
                notes.append(f"{line['defense']}, {metric}: {others} of the same pair left out")
        if not metrics:
            picked.append((line, None, deciding[0].metric if deciding else ""))
    judged = _judged([row for _, row, _ in picked if row])
    made = [
        Finding(
            defense=line["defense"],
            risk=line["risk"],
            status=line["status"],
            paper=line["finding"],
            note=line["note"],
            source=line["source"],
            row=next(judged) if row else None,
            lost=lost,
        )
        for line, row, lost in picked
    ]
    return made, list(dict.fromkeys(notes))


def _decides(line: Mapping[str, str], row: Row) -> bool:
    """What decides the risk; of two defences together also whether one still recognises copies."""
    if row.facts.risk != line["risk"]:
        return False
    return row.facts.decides or (line["defense"] == _TWO and row.metric == "ownership_accuracy")


def _made_for_it(row: Row) -> tuple[bool, int]:
    run = next(iter(row.cell.runs.values()))
    return not as_text(run.overrides.get("+experiment", "")).startswith("table5"), -len(row.cell.runs)


def _judged(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows with verdicts, Holm-corrected over them alone."""
    from amulet.assessment.verdict import judge

    verdicts = judge({i: comparison(row) for i, row in enumerate(rows)})
    return iter([replace(row, verdict=verdicts[i]) for i, row in enumerate(rows)])


def _record(table: Findings, row: Finding) -> dict[str, object]:
    change = row.row.change if row.row else None
    summaries = row.row.summaries if row.row else {}
    return {
        "table": table.title,
        "defense": row.defense,
        "risk": row.risk,
        "paper": row.status,
        "paper_finding": row.paper,
        "metric": row.row.metric if row.row else "",
        "undefended": summaries["undefended"].mean if summaries else math.nan,
        "defended": summaries["defended"].mean if summaries else math.nan,
        "change": change.mean if change else math.nan,
        "low": change.low if change else math.nan,
        "high": change.high if change else math.nan,
        "n": change.n if change else 0,
        "p_holm": row.verdict.p_value if row.verdict else math.nan,
        "verdict": row.outcome,
        "detectable": row.verdict.detectable if row.verdict else math.nan,
        **{f"defended.{name}": value for name, value in row.verification.items()},
        "finding": row.sentence,
        "doubts": " | ".join(row.warnings),
        "source": row.source,
        "note": row.note,
    }
