"""`amulet gate`: the table, the files that programs read, the exit codes."""

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.commands import gate as verb
from tests.helpers.gate_schemas import SARIF, junit_problems
from tests.helpers.made_up_results import typical, with_records, write

RULES = [
    {"id": "kept", "metric": "test_accuracy", "at_least": 0.5, "why": "a < b & \x07 c"},
    {"id": "broken", "metric": "robust_accuracy", "at_least": 0.99},
    {"id": "open", "metric": "fidelity", "at_most": 0.978},
    {"id": "absent", "metric": "P1.auc", "at_most": 0.6},
    {"id": "advice", "metric": "robust_accuracy", "at_least": 0.99, "severity": "warning"},
]
WORDS = ["pass", "fail", "inconclusive", "not measured", "fail"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write(tmp_path / "runs", with_records(typical()))
    return tmp_path / "runs"


def policy(folder: Path, *ids: str) -> str:
    rules = [rule for rule in RULES if not ids or rule["id"] in ids]
    (folder / "policy.yaml").write_text(yaml.safe_dump({"title": "Ours", "rules": rules}))
    return str(folder / "policy.yaml")


@pytest.mark.parametrize(
    ("ids", "code"),
    [((), 3), (("kept", "advice"), 0), (("open",), 4), (("absent",), 4), (("broken", "absent"), 3)],
)
def test_the_exit_code(tmp_path: Path, runs: Path, ids: tuple[str, ...], code: int) -> None:
    assert main(["gate", policy(tmp_path, *ids), str(runs)]) == code


def test_the_table_in_words(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verb.main([policy(tmp_path), str(runs)])
    text = " ".join(capsys.readouterr().out.split())
    assert "A limit is broken. 2 fail, 1 not measured, 1 inconclusive, 1 pass. In brackets, and not counted: 1." in text
    assert "(fail)" in text


def test_json_has_everything(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main([policy(tmp_path), str(runs), "--json"]) == 3
    content = json.loads(capsys.readouterr().out)
    assert content["exit_code"] == 3
    assert [one["outcome"] for one in content["judgements"]] == WORDS
    kept = content["judgements"][0]
    assert kept["low"] < kept["value"] < kept["high"]
    assert content["judgements"][3]["value"] is None


def test_junit_keeps_to_its_schema(tmp_path: Path, runs: Path) -> None:
    verb.main([policy(tmp_path), str(runs), "--junit", str(tmp_path / "gate.xml")])
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert list(junit_problems(root)) == []
    cases = [[part.tag for part in case] for case in root.iter("testcase")]
    assert cases == [[], ["failure"], ["error"], ["error"], ["skipped"]]
    damaged = root[0]
    damaged.set("errors", "7")
    del damaged.attrib["hostname"]
    assert len(list(junit_problems(root))) == 2


def test_sarif_keeps_to_its_schema(tmp_path: Path, runs: Path) -> None:
    verb.main([policy(tmp_path), str(runs), "--sarif", str(tmp_path / "gate.sarif")])
    log = json.loads((tmp_path / "gate.sarif").read_text())
    jsonschema.validate(log, SARIF)
    results = log["runs"][0]["results"]
    assert [(one["kind"], one["level"]) for one in results] == [
        ("pass", "none"),
        ("fail", "error"),
        ("open", "none"),
        ("open", "none"),
        ("fail", "warning"),
    ]
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in results)
    results[0]["level"] = "error"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, SARIF)


def test_a_table_for_a_comment(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verb.main([policy(tmp_path), str(runs), "--markdown", "-"])
    text = capsys.readouterr().out
    assert text.startswith("**Ours**")
    assert "| **fail** | broken:" in text


@pytest.mark.parametrize("words", [[], ["nowhere.yaml"], ["bank_credit", "nowhere"]])
def test_mistakes_are_told(words: list[str], workdir: Path) -> None:
    with pytest.raises(UsageError):
        verb.main(words)


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no run"):
        verb.main(["bank_credit", str(tmp_path)])
