"""What the schemas of JUnit (Apache Ant's task) and SARIF 2.1.0 ask of the parts that a gate writes."""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

_TEXT = {"type": "string"}
_MESSAGE = {"type": "object", "required": ["text"], "properties": {"text": _TEXT}, "additionalProperties": False}
_LOCATION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {"artifactLocation": {"type": "object", "properties": {"uri": _TEXT}}},
        },
        "logicalLocations": {
            "type": "array",
            "uniqueItems": True,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"fullyQualifiedName": _TEXT, "kind": _TEXT},
            },
        },
    },
}
_RULE = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": _TEXT,
        "shortDescription": _MESSAGE,
        "fullDescription": _MESSAGE,
        "defaultConfiguration": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"level": {"enum": ["none", "note", "warning", "error"]}},
        },
    },
}
_RESULT = {
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {
        "ruleId": _TEXT,
        "ruleIndex": {"type": "integer", "minimum": -1},
        "kind": {"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": _MESSAGE,
        "locations": {"type": "array", "items": _LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": _TEXT},
        "properties": {"type": "object"},
    },
    # 3.27.10: where `kind` is not `fail`, `level` is `none`, and the other way round.
    "if": {"properties": {"kind": {"const": "fail"}}},
    "then": {"properties": {"level": {"enum": ["note", "warning", "error"]}}},
    "else": {"properties": {"level": {"const": "none"}}},
}
SARIF: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": _TEXT,
                                    "version": _TEXT,
                                    "rules": {"type": "array", "uniqueItems": True, "items": _RULE},
                                },
                            }
                        },
                    },
                    "results": {"type": "array", "items": _RESULT},
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                },
            },
        },
    },
}

_SUITE = {
    "name": r".+",
    "package": r".*",
    "id": r"\d+",
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "hostname": r".+",
    "tests": r"\d+",
    "failures": r"\d+",
    "errors": r"\d+",
    "time": r"\d+(\.\d+)?",
}
_CASE = {"name": r".+", "classname": r".+", "time": r"\d+(\.\d+)?"}
_PARTS = {"skipped": {}, "error": {"type": r".+"}, "failure": {"type": r".+"}}


def junit_problems(root: Element) -> Iterator[str]:
    """Where a document departs from the schema: elements, their order, their attributes, the counts."""
    if root.tag != "testsuites":
        yield f"the root is {root.tag}"
    for suite in root:
        yield from _attributes(suite, _SUITE)
        tags = "".join(f"{part.tag} " for part in suite)
        if not re.fullmatch(r"properties (testcase )*system-out system-err ", tags):
            yield f"wrong order: {tags}"
        for case in suite.iter("testcase"):
            yield from _attributes(case, _CASE)
            if len(case) > 1 or any(part.tag not in _PARTS for part in case):
                yield f"wrong parts of a test case: {[part.tag for part in case]}"
            for part in case:
                yield from _attributes(part, _PARTS.get(part.tag, {}))
        counted = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
        for name, tag in counted.items():
            if suite.get(name) != str(len(list(suite.iter(tag)))):
                yield f"`{name}` is {suite.get(name)}"


def _attributes(element: Element, needed: dict[str, str]) -> Iterator[str]:
    for name, pattern in needed.items():
        value = element.get(name)
        if value is None or not re.fullmatch(pattern, value) or value != " ".join(value.split()):
            yield f"`{name}` of {element.tag} is {value!r}"
