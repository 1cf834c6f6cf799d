"""The report as a model card in the form of the Hugging Face Hub: Markdown behind a header in YAML; and as JSON."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import yaml

from amulet import __version__
from amulet_cli.analysis.deployment.findings import Finding
from amulet_cli.analysis.deployment.handout import Handout
from amulet_cli.analysis.deployment.words import words
from amulet_cli.base.format_numbers import plural
from amulet_cli.base.serialize import plain as plain_json
from amulet_cli.views.deployment import plain
from amulet_cli.views.gate.table import verdicts
from amulet_cli.views.table import Table, markdown, markdown_text

_UNKNOWN = "Not known to this report; to be filled in by who answers for the model."


def model_card(made: Handout, *, date: str = "") -> str:
    """The card: the Hub reads its header, people the rest."""
    header = yaml.safe_dump(_header(made), sort_keys=False, allow_unicode=True, width=1000)
    return "\n".join(["---", header.rstrip(), "---", *_body(made, date)]) + "\n"


def as_json(made: Handout, *, date: str = "") -> dict[str, Any]:
    """The same for programs; numbers without a value are null."""
    findings = [
        {
            **{key: value for key, value in asdict(one).items() if key not in ("found", "clauses")},
            **{key: value for key, value in asdict(one.found).items() if key != "over"},
            "interval_over": one.found.over,
            "clauses": [f"{words().frameworks[c.framework].title}, {c.clause}" for c in one.clauses],
        }
        for one in made.findings
    ]
    gate = None
    if made.gate:
        rules = [dict(zip(verdicts(made.gate).head, line, strict=True)) for line in verdicts(made.gate).lines]
        gate = {"policy": made.gate.policy.title, "exit_code": made.gate.exit_code, "rules": rules}
    content = {
        "date": date,
        "amulet": __version__,
        "title": plain.title(made),
        "trial": made.trial,
        "findings": findings,
        "not_tested": [asdict(one) for one in made.untested],
        "runs_without_numbers": [{"run": name, "why": why} for name, why in made.incomplete],
        "limits": gate,
        "exposed": [asdict(one) for one in made.exposed],
        "sheet": {
            **asdict(made.sheet),
            **{key: dict(getattr(made.sheet, key)) for key in ("settings", "versions", "runs")},
        },
        "clauses": [{**asdict(clause), "findings": list(risks)} for clause, risks in made.clauses],
        "frameworks": {name: asdict(one) for name, one in words().frameworks.items()},
        "remarks": [{"risk": risk, "text": text} for risk, text in made.remarks],
    }
    return plain_json(content, finite=False)


def _header(made: Handout) -> dict[str, Any]:
    """Metadata of the Hub: `model-index` holds the numbers that have an interval."""
    sheet = made.sheet
    counted = [one for one in made.findings if one.interval()]
    dataset = {"name": sheet.data_name, "type": re.sub(r"[^\w.-]+", "-", sheet.data_name)}
    metrics = [
        {
            "type": one.metric,
            "name": f"{one.title}{f' ({one.budget})' if one.budget else ''}, 95% interval {one.interval()}",
            "value": round(one.found.value, 6),
        }
        for one in counted
    ]
    task: dict[str, str] = {"type": "image-classification" if not sheet.columns else "tabular-classification"}
    results = [{"task": task, "dataset": dataset, "metrics": metrics}]
    found: dict[str, Any] = {
        "tags": ["amulet", "risk-report"],
        "library_name": "pytorch",
        "pipeline_tag": task["type"],
        "metrics": list(dict.fromkeys(one.metric for one in counted)),
        "model-index": [{"name": sheet.model_name, "results": results}],
    }
    return found if metrics else {key: value for key, value in found.items() if key not in ("metrics", "model-index")}


def _body(made: Handout, date: str) -> Iterator[str]:
    sheet, text = made.sheet, markdown_text
    yield f"\n# {text(plain.title(made))}\n"
    yield text(plain.lead(made))
    if limits := plain.limits(made):
        yield f"\n**Limits.** {text(limits)}"
    yield "\n## Model details\n"
    yield f"- Model: {text(sheet.model)} ({text(sheet.model_name)})"
    yield f"- Protection: {text(sheet.defense) or 'none'}"
    yield from (f"- {text(plain.capital(key))}: {text(value)}" for key, value in sheet.settings)
    yield f"- Developed by: {_UNKNOWN}\n- Licence: {_UNKNOWN}"
    yield f"\n## Uses\n\n{_UNKNOWN}"
    yield "\n## Bias, risks and limitations\n"
    for risk in plain.plain_risks(made):
        yield f"- **{text(risk.name)}: {risk.word}.**"
        yield from (f"  - {text(plain.sentence(*line))}" for line in risk.lines)
        yield from (f"  - {text(one)}" for one in risk.attackers)
    yield "\n### Not tested\n"
    yield from (f"- {text(one)}" for one in plain.untested(made))
    yield "\n## Training data\n"
    yield f"- {text(sheet.data)}"
    yield from (f"- {plain.capital(words)}: {count:,}" for words, count in sheet.records.items())
    if sheet.source:
        yield f"- Source: {text(sheet.source)}"
    yield f"- Licence: {text(sheet.licence) or _UNKNOWN}"
    yield "\n## Evaluation\n"
    yield from (f"- {text(one)}" for one in plain.sureness(made))
    yield f"\n{markdown([_measurements(made)])}"
    if made.gate:
        yield f"## Limits\n\n{markdown([verdicts(made.gate)])}"
    yield "## Origin\n"
    yield f"- Made by Amulet {__version__}{f' on {date}' if date else ''} from {plural(len(sheet.runs), 'run')}"
    yield f"- Digest of the results (SHA-256): `{sheet.digest}`"


def _measurements(made: Handout) -> Table:
    return Table(
        title="All measurements",
        head=("measurement", "risk", "attack", "found", "95% interval", "compared with", "budget"),
        blocks=(tuple(map(_row, made.findings)),),
        align="lllrrrl",
    )


def _row(one: Finding) -> tuple[str, ...]:
    budget = one.budget or ("not stated" if one.attacked else "no attacker")
    found = one.value() or "not measured", one.interval() or "none", one.base() or "not known"
    return one.title, one.code, one.attack or "none", *found, budget
