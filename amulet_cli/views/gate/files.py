"""A gate as JSON, as JUnit's XML (the schema of Apache Ant's task) and as SARIF 2.1.0 (OASIS)."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from amulet import __version__
from amulet_cli.analysis.gate.judging import Gate, Judgement
from amulet_cli.analysis.gate.words import limit_words
from amulet_cli.base.serialize import canonical_json, plain

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_KINDS = {"pass": "pass", "fail": "fail", "inconclusive": "open", "not measured": "open"}


def gate_json(gate: Gate) -> str:
    """Everything, with numbers as numbers: what is not known is null."""
    content = {
        "schema": 1,
        "policy": {"title": gate.policy.title, "file": _path(gate), "on_inconclusive": gate.policy.on_inconclusive},
        "exit_code": gate.exit_code,
        "count": dict(gate.count),
        "judgements": [_record(one) for one in gate.judgements],
    }
    return canonical_json(plain(content))


def _record(one: Judgement) -> dict[str, Any]:
    rule, found = one.rule, one.found
    return {
        "id": rule.id,
        "outcome": one.outcome,
        "blocks": one.blocks,
        "severity": rule.severity,
        "metric": one.metric,
        "label": one.title,
        "victim": one.victim,
        "setting": dict(one.setting),
        "at_least": rule.at_least,
        "at_most": rule.at_most,
        "relative_to": rule.relative_to or None,
        "where": dict(rule.where),
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "over": found.over,
        "seed": found.seed,
        "reason": one.reason,
        "why": rule.why,
    }


def gate_junit(gate: Gate, now: datetime) -> bytes:
    """A test case for each judgement: what is broken fails, what could not be decided is an error.

    A warning, and what the policy lets pass, is a skipped test with its reason.
    """
    kinds = [_junit_kind(one) for one in gate.judgements]
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name=_token(gate.policy.title),
        package="amulet.gate",
        id="0",
        timestamp=now.strftime("%Y-%m-%dT%H:%M:%S"),
        hostname="localhost",
        tests=str(len(kinds)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped=str(kinds.count("skipped")),
        time="0",
    )
    ElementTree.SubElement(suite, "properties")
    for one, kind in zip(gate.judgements, kinds, strict=True):
        name = ", ".join(filter(None, (one.title, one.subject)))
        case = ElementTree.SubElement(suite, "testcase", name=_token(name), classname=_token(one.rule.id), time="0")
        if kind:
            message = f"{limit_words(one.rule, fraction=one.fraction)}: {one.reason}"
            told = ElementTree.SubElement(case, kind, message=_printable(message), type=one.outcome)
            told.text = _printable(one.rule.why)
    ElementTree.SubElement(suite, "system-out")
    ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)


def _junit_kind(one: Judgement) -> str:
    if one.outcome == "pass":
        return ""
    return "skipped" if not one.blocks else "failure" if one.outcome == "fail" else "error"


def gate_sarif(gate: Gate) -> str:
    """A result for each judgement: broken limits have a level, what could not be decided is open."""
    ids = [rule.id for rule in gate.policy.rules]
    log = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "amulet gate", "version": __version__, "rules": _sarif_rules(gate)}},
                "results": [_sarif_result(one, ids.index(one.rule.id), gate) for one in gate.judgements],
                "columnKind": "unicodeCodePoints",
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _sarif_rules(gate: Gate) -> list[dict[str, Any]]:
    fractions = {one.rule.id: one.fraction for one in gate.judgements}
    rules: list[dict[str, Any]] = []
    for rule in gate.policy.rules:
        limit = f"{rule.metric}: {limit_words(rule, fraction=fractions.get(rule.id, True))}"
        described = {
            "id": rule.id,
            "shortDescription": {"text": limit},
            "defaultConfiguration": {"level": rule.severity},
        }
        rules.append(described | ({"fullDescription": {"text": rule.why}} if rule.why else {}))
    return rules


def _sarif_result(one: Judgement, index: int, gate: Gate) -> dict[str, Any]:
    text = f"{one.title}{f' of {one.subject}' if one.subject else ''}: {one.outcome}. {one.reason}"
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": Path(_path(gate)).as_posix()}}}
    if one.subject:
        place["logicalLocations"] = [{"fullyQualifiedName": one.subject, "kind": "model"}]
    key = json.dumps([one.rule.id, one.metric, one.subject])
    return {
        "ruleId": one.rule.id,
        "ruleIndex": index,
        "kind": _KINDS[one.outcome],
        "level": one.rule.severity if one.outcome == "fail" else "none",
        "message": {"text": text},
        "locations": [place],
        "partialFingerprints": {"judgement/v1": hashlib.sha256(key.encode()).hexdigest()},
        "properties": _finite({"value": one.found.value, "low": one.found.low, "high": one.found.high}),
    }


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _path(gate: Gate) -> str:
    """The policy's file as the reader of a repository knows it."""
    file, here = gate.policy.file.absolute(), Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else file.name


def _token(text: str) -> str:
    """Text as XML's `token` has it: no line break, no space at an end."""
    return " ".join(_printable(text).split()) or "-"


def _printable(text: str) -> str:
    """Without the signs that XML has no way to write."""
    return "".join(sign for sign in text if sign in "\t\n" or sign.isprintable())
