"""A report to hand on, as it is read: plain first page, accessible, tagged as PDF, valid as a model card."""

import json
import re
import zlib
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from amulet_cli.analysis.deployment.handout import Handout, handout
from amulet_cli.analysis.gate.policy import read_policy
from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.commands import report as verb
from amulet_cli.results.reading import find_results
from amulet_cli.views.deployment import pdf
from amulet_cli.views.deployment.card import model_card
from amulet_cli.views.deployment.page import deployment_page
from tests.helpers.deployment_toys import LABELS, groups, members, stolen
from tests.helpers.made_up_results import choices, typical, write
from tests.helpers.pages import Walk, browsed, contrast, widths


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    stolen(folder)
    members(folder)
    groups(folder)
    return folder


@pytest.fixture(scope="module")
def made(runs: Path) -> Handout:
    return handout(find_results([runs]), read_policy("bank_credit"))


@pytest.fixture(scope="module")
def page(made: Handout) -> str:
    return deployment_page(made, command="amulet report", date="2026-02-03")


def first_page(page: str) -> str:
    """Its text."""
    start, end = page.index('<div class="first">'), page.index('<h2 id="limits">')
    text = " ".join(" ".join(Walk(page[start:end].rpartition("</div>")[0]).text).split())
    return re.sub(r" ([.,;:)])", r"\1", text)


def test_it_is_one_clean_accessible_file(page: str) -> None:
    walk = Walk(page)
    assert walk.wrong == []
    assert walk.all("html")[0]["lang"] == "en"
    assert len(walk.all("title")) == 1
    assert not re.search(r"<script|<img|https?://[^\"]*\.(css|js|woff)", page)
    assert all(attrs.get("scope") in ("col", "row") for attrs in walk.all("th"))
    kinds = [name for name, _ in walk.seen]
    assert kinds.count("caption") == kinds.count("table") > 3
    levels = [int(name[1]) for name in kinds if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs in walk.seen if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert all(attrs["aria-labelledby"] in ids for attrs in walk.all("section"))
    assert all(attrs.get("aria-label") for attrs in walk.all("div") if attrs.get("class") == "scroll")


def test_contrast_is_that_of_wcag_aa(page: str) -> None:
    [theme] = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
    pairs = [("ink", "paper"), ("soft", "paper"), ("link", "paper"), ("ink", "shade")]
    pairs += [(name, f"{name}-shade") for name in ("bad", "good", "open")]
    assert all(contrast(colours[front], colours[back]) >= 4.5 for front, back in pairs)


def test_the_first_page_has_no_word_of_code(page: str) -> None:
    text = first_page(page)
    assert not re.search(r"\w+_\w+|\w\.\w+\.\w|=|[{}\[\]<>`]", text), text
    for word in ("linearnet", "adv_training", "lira", "epsilon", "AUC", "seed", "metric", "victim"):
        assert word.lower() not in text.lower(), word
    for heading in ("What was tested", "Against whom", "What was found", "What was not tested", "How sure this is"):
        assert heading in text
    assert f"{LABELS[0]}, {LABELS[1]}" in text


def test_no_number_on_the_first_page_is_without_an_interval(page: str, made: Handout) -> None:
    text = first_page(page)
    numbers = re.findall(r": (\d+\.\d%)(?! \(95% interval \d+\.\d% to \d+\.\d%\))", text)
    bases = [one.base() for one in made.worst if one.interval()]
    assert sorted(numbers) == sorted(bases), "those without one are what the numbers are compared with"
    assert "no number here, for it takes 5 trainings, and 1 was made" in text
    shown = [one for one in made.worst if one.interval()]
    assert shown
    for one in shown:
        assert f"{one.value()} (95% interval {one.interval()})" in text
        assert not one.attacked or one.budget


def test_it_says_what_was_found_and_what_was_not_tested(page: str) -> None:
    text = first_page(page)
    assert "Wrong answers through small changes of an input found" in text
    assert "No test was made of: Sabotage through the training data" in text
    assert "The attacker sees the model's raw scores" in text
    assert "Held against the limits of “Decisions on credit”" in text


def test_the_policy_is_judged_as_the_gate_does(page: str, made: Handout) -> None:
    assert made.gate is not None
    rows = [cells for cells in Walk(page).rows if cells[0] in ("pass", "fail", "inconclusive", "not measured")]
    blocking = [one for one in made.gate.judgements if one.blocks or one.outcome == "pass"]
    assert [cells[0] for cells in rows] == [one.outcome for one in blocking]


def test_hostile_texts_stay_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> | x"
    stolen(tmp_path, dataset={"labels": [evil, "b"], "licence": evil})
    made = handout(find_results([tmp_path]))
    page, card = deployment_page(made), model_card(made)
    assert Walk(page).wrong == []
    for text in (page, card):
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def test_the_model_card_has_the_header_of_the_hub(made: Handout) -> None:
    card = model_card(made, date="2026-02-03")
    _, header, body = card.split("---\n", 2)
    content = yaml.safe_load(header)
    [index] = content["model-index"]
    [result] = index["results"]
    assert result["task"]["type"] == content["pipeline_tag"] == "tabular-classification"
    assert result["dataset"].keys() == {"name", "type"}
    counted = [one for one in made.findings if one.interval()]
    assert [one["value"] for one in result["metrics"]] == [round(one.found.value, 6) for one in counted]
    assert all(f"95% interval {one.interval()}" in m["name"] for one, m in zip(counted, result["metrics"], strict=True))
    assert made.sheet.digest in body
    for heading in ("Model details", "Uses", "Bias, risks and limitations", "Training data", "Evaluation"):
        assert f"\n## {heading}\n" in body


@pytest.fixture
def drawing() -> None:
    """Skips where WeasyPrint is not installed, or the system lacks Pango, with which it draws."""
    try:
        import_module("weasyprint")
    except (ImportError, OSError) as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("drawing")
def test_as_pdf_it_is_tagged() -> None:
    small = '<!DOCTYPE html><html lang="en"><title>Risks</title><h1>A</h1><table><tr><th scope="col">b</table></html>'
    content = pdf.as_pdf(small)
    streams = re.findall(rb"stream\n(.*?)\nendstream", content, re.DOTALL)
    text = b"".join(unpacked(stream) for stream in streams) + content
    for part in (b"pdfuaid:part", b"/StructTreeRoot", b"/Marked true", b"/H1", b"/TH", b"/Lang (en)"):
        assert part in text, part


def unpacked(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return stream


@pytest.mark.usefixtures("drawing")
def test_a_pdf_loads_nothing(caplog: pytest.LogCaptureFixture) -> None:
    pdf.as_pdf('<!DOCTYPE html><html lang="en"><title>x</title><img src="file:///etc/passwd" alt="x"></html>')
    assert "Failed to load image at 'file:///etc/passwd'" in caplog.text


def test_without_the_extra_it_says_what_to_install(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(UsageError, match="WeasyPrint, which is not installed") as error:
        verb.main([str(runs), "--for", "deployment", "--pdf", "x.pdf"])
    assert "amulet-cli[pdf]" in str(error.value.try_)


def test_the_verb_writes_every_form(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", str(runs), "--for", "deployment", "--policy", "bank_credit"]
    files = {form: tmp_path / f"new.{form}" for form in ("html", "model-card")}
    flags = [word for form, path in files.items() for word in (f"--{form}", str(path))]
    assert main([*words, *flags, "--json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert all(path.stat().st_size > 2000 for path in files.values())
    assert content["limits"]["policy"] == "Decisions on credit"
    assert {one["risk"] for one in content["findings"]} > {"evasion", "discriminatory_behavior"}
    assert content["sheet"]["digest"] in files["html"].read_text(encoding="utf-8")
    assert main(words) == 0
    assert "Groups of people treated differently" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["--pdf", "x.pdf"],
        ["--policy", "bank_credit"],
        ["--for", "deployment", "--csv", "x.csv"],
        ["--for", "deployment", "--by", "dataset"],
        ["--for", "nobody"],
        ["--for", "deployment", "--policy", "no_such_policy"],
        ["--for", "deployment", "--pdf", "-"],
    ],
)
def test_what_does_not_go_together_is_refused(runs: Path, tmp_path: Path, words: list[str]) -> None:
    assert (
        main(["report", str(runs), *[str(tmp_path / word) if word.startswith("x.") else word for word in words]]) == 2
    )
    assert not list(tmp_path.iterdir())


def test_a_trial_says_that_its_numbers_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, typical(), chosen=choices(), overrides={"trial": 100})
    page = deployment_page(handout(find_results([tmp_path])))
    assert "none of these numbers counts" in page


def test_no_page_is_wider_than_its_screen(tmp_path: Path, page: str) -> None:
    assert all(inside <= screen for screen, inside in widths(tmp_path, page).items())


def test_a_browser_has_no_complaint(tmp_path: Path, page: str) -> None:
    with browsed(tmp_path, page) as browser:
        assert "Where this comes from" in browser.ask("document.body.innerText")
        assert browser.complaints == []
