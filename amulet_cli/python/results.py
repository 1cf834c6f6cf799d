"""What runs found, as one object: frames, verdicts, limits, figures, the page, the files."""

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amulet_cli.analysis.comparisons import smallest_effects
from amulet_cli.analysis.gate.judging import Gate, judge_policy
from amulet_cli.analysis.gate.policy import Policy, read_policy
from amulet_cli.analysis.groups import SETTING, Report, aggregate
from amulet_cli.analysis.names import metric_title
from amulet_cli.base.format_numbers import plural
from amulet_cli.base.serialize import as_text, differing
from amulet_cli.python.errors import told
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import VICTIMS, Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_SHOWN = 40  # rows of a table in a notebook


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A run that makes no sense, and why."""

    dataset: str
    defense: str
    attack: str
    risk: str
    """That the attack is on; empty if that is not known."""
    seed: int
    reason: str


class Results:
    """Runs, finished or not.

    Args:
        runs: in any order.
    """

    def __init__(self, runs: Sequence[Result]) -> None:
        self.runs = tuple(runs)
        self.finished = tuple(run for run in self.runs if run.finished)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        states = {"finished": len(self.finished), "refused": len(self.refused), "failed": len(self.failed)}
        told = ", ".join(f"{count} {state}" for state, count in states.items() if count)
        settings = {run.setting[:3] for run in self.runs}
        names = "; ".join(" · ".join(one) for one in sorted(settings)[:3]) + ("; ..." if len(settings) > 3 else "")
        return f"Results({plural(len(self.runs), 'run')}: {told or 'none finished'}; {names})"

    def _repr_html_(self) -> str:
        import html

        table = self.overall.to_html(max_rows=_SHOWN, float_format="{:.4g}".format, na_rep="-")
        notes = "".join(f"<li>{html.escape(text)}</li>" for text in self.warnings)
        return f"<p>{html.escape(repr(self))}</p>{table}" + (f"<ul>{notes}</ul>" if notes else "")

    def to_frame(self) -> "pd.DataFrame":
        """One row per victim, risk, metric and seed, of finished runs.

        Columns: dataset, model, defense, attack, what was swept, seed, victim, risk, metric, label, value, low and high
        (95 % interval over records), baseline, unit, harm (the direction that is worse), decides (on its risk), invalid
        (why no verdict may rest on the number). Fractions lie in [0, 1]; what is not known is NaN.
        """
        import pandas as pd

        columns = [*SETTING, *self._swept, "seed", "victim", "risk", "metric", "label", "value", "low", "high"]
        columns += ["baseline", "unit", "harm", "decides", "invalid"]
        return pd.DataFrame(list(self._rows()), columns=columns)

    @property
    def overall(self) -> "pd.DataFrame":
        """By setting, risk and metric, the mean over seeds of each victim, and the change between them."""
        frame = self.to_frame()
        keys = [*self._telling(frame), "risk", "metric", "label"]
        table = frame.pivot_table(
            index=keys, columns="victim", values="value", aggfunc="mean", sort=False, dropna=False
        )
        table = table.dropna(how="all").reindex(columns=[victim for victim in VICTIMS if victim in table.columns])
        if set(VICTIMS) <= set(table.columns):
            table["change"] = table[VICTIMS[1]] - table[VICTIMS[0]]
        table.columns.name = None
        return table

    @property
    def by_group(self) -> "pd.DataFrame":
        """By setting, victim, sensitive attribute and group: records, and rates of the answers, the mean over seeds.

        From the evidence of runs that measured discriminatory behaviour; of others there is nothing.
        """
        import pandas as pd

        from amulet_cli.results.evidence import RATES, group_rates

        keys = ["victim", "attribute", "group"]
        rows: list[dict[str, Any]] = []
        for run in self.finished:
            for one in group_rates(run):
                for victim, rates in one.rates.items():
                    for i, group in enumerate(one.groups):
                        row = self._setting(run) | {"victim": victim, "attribute": one.attribute, "group": group}
                        row |= {"records": one.records[i]} | dict(zip(RATES, rates[:, i].tolist(), strict=True))
                        rows.append(row)
        frame = pd.DataFrame(rows, columns=[*SETTING, *self._swept, *keys, "records", *RATES])
        return frame.groupby([*self._telling(frame), *keys], sort=False)[["records", *RATES]].mean()

    @property
    def verdicts(self) -> "pd.DataFrame":
        """One row per setting and metric that decides on its risk: the change, its interval, the verdict, the reason.

        Verdicts need ten seeds; with fewer they say so.
        """
        import pandas as pd

        from amulet_cli.views.row_numbers import change_record

        rows: list[dict[str, Any]] = []
        for row in self.report().rows:
            if row.verdict is not None:
                title = metric_title(row.facts, row.cell.facts)
                named = {key: as_text(value) for key, value in row.cell.labels.items()}
                named |= {"risk": row.facts.risk, "metric": row.metric, "label": title, "seeds": row.verdict.change.n}
                rows.append(named | change_record(row, row.verdict))
        return pd.DataFrame(rows)

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The runs that were refused, each with its reason."""
        return tuple(_refused(run) for run in self.runs if run.state == "refused")

    @property
    def failed(self) -> tuple[Refused, ...]:
        """The runs that failed, or of which nothing can be read, each with its reason."""
        return tuple(_refused(run) for run in self.runs if not run.finished and run.state != "refused")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the measurements warned of, each text once."""
        return tuple(dict.fromkeys(text for run in self.finished for text in run.warnings))

    def report(self, smallest: str = "") -> Report:
        """The runs over their seeds, as `amulet report` has them.

        Args:
            smallest: changes that count, `robust_accuracy=0.02,fraction=0.01`, where they are not the metrics' own.
        """
        with told():
            return aggregate(self.runs, smallest_effect=smallest_effects(smallest))

    def check(self, policy: str | Path | Policy) -> Gate:
        """Hold the runs against the limits of a policy, as `amulet gate` does (docs/gate.md).

        Args:
            policy: its file, the name of one that comes with Amulet, or one that was read before.

        Raises:
            SettingError: there is no such policy, or it is wrong.
        """
        with told():
            return judge_policy(policy if isinstance(policy, Policy) else read_policy(str(policy)), self.runs)

    def save(self, folder: str | Path) -> Path:
        """Copy the runs into a folder, as `amulet report` reads them; what is there already is replaced."""
        for run in self.runs:
            place = Path(folder).joinpath(*run.folder.parts[-6:])
            if run.folder.is_dir() and place.resolve() != run.folder.resolve():
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(run.folder, place)
        return Path(folder)

    def plot(self, kind: str | None = None, metric: str | None = None) -> "Figure":
        """One figure, the obvious one unless a kind or a metric is named, as `amulet plot` draws it.

        Raises:
            SettingError: these runs have no such figure, or several settings have one.
        """
        from amulet_cli.commands.plot import choose
        from amulet_cli.views.figures.catalogue import drawings

        with told():
            chosen, _ = choose(drawings(self.report(), self.runs), kind, metric)
            return chosen.draw()

    def to_html(self) -> str:
        """The page of `amulet report --html`: one file that asks nothing of any network."""
        from amulet_cli.views.html.build import html_report

        return html_report(self.report(), self.runs, date=datetime.now().astimezone().date().isoformat())

    @cached_property
    def _swept(self) -> list[str]:
        return [key for key in differing([dict(run.overrides) for run in self.finished]) if key not in SETTING]

    def _setting(self, run: Result) -> dict[str, Any]:
        overrides = {key: run.overrides.get(key) for key in self._swept}
        return dict(zip(SETTING, run.setting, strict=True)) | overrides

    def _telling(self, frame: "pd.DataFrame") -> list[str]:
        """The columns of the setting in which the runs differ."""
        return [key for key in (*SETTING, *self._swept) if frame[key].astype(str).nunique() > 1]

    def _rows(self) -> Iterator[dict[str, Any]]:
        for run in self.finished:
            for victim, metrics in run.metrics.items():
                for name in sorted(metrics, key=lambda name: (run.facts.order(name), name)):
                    facts = run.facts.of(name)
                    low, high = run.intervals.get(victim, {}).get(name, (math.nan, math.nan))
                    yield self._setting(run) | {
                        "seed": run.seed,
                        "victim": victim,
                        "risk": facts.risk,
                        "metric": name,
                        "label": metric_title(facts, run.facts),
                        "value": metrics[name],
                        "low": low,
                        "high": high,
                        "baseline": run.baselines.get(victim, {}).get(name, math.nan),
                        "unit": facts.unit,
                        "harm": facts.harm,
                        "decides": facts.decides,
                        "invalid": run.invalid.get(victim, {}).get(name, ""),
                    }


def load_results(*folders: str | Path) -> Results:
    """Every run in some folders (`outputs` if none is given), as `assess` returns them.

    Raises:
        SettingError: a folder does not exist, or there is no run.
    """
    with told():
        runs = find_results(folders or ["outputs"])
    if not runs:
        from amulet.core.errors import SettingError

        raise SettingError(f"there is no run in {', '.join(map(str, folders or ['outputs']))}")
    return Results(runs)


def _refused(run: Result) -> Refused:
    dataset, _, defense, attack = run.setting
    reason = run.reason or run.state
    return Refused(
        dataset=dataset, defense=defense, attack=attack, risk=run.facts.attacked, seed=run.seed, reason=reason
    )
