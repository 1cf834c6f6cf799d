"""The HTML report: one clean file, honest numbers, nothing from outside, and it reads well in a browser."""

import json
import re
import shutil
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest

from amulet_cli.analysis.groups import aggregate
from amulet_cli.base import format_numbers
from amulet_cli.cli import main
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import result_folder
from amulet_cli.results.writing import write_status
from amulet_cli.views.html import build, figures
from amulet_cli.views.html.build import html_report
from amulet_cli.views.html.provenance import commands
from tests.helpers.made_up_results import MadeUp, choices, config, typical, write
from tests.helpers.pages import Walk, browsed, contrast, widths
from tests.helpers.report_toys import in_memory, membership, people, pictures, sweep


def page_of(folder: Path) -> str:
    results = find_results([folder])
    return html_report(aggregate(results), results, command="amulet report outputs --html report.html")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every kind: a sweep, a ROC, groups, pictures, what failed."""
    folder = tmp_path_factory.mktemp("rich")
    sweep(folder, 10, (0.01, 0.1))
    membership(folder)
    people(folder)
    pictures(folder)
    write_status(result_folder(config(99), choices(), folder), "failed", error="no memory")
    return folder


@pytest.fixture(scope="module")
def page(rich: Path) -> str:
    return page_of(rich)


def test_the_page_is_well_formed(page: str) -> None:
    walk = Walk(page)
    assert walk.wrong == []
    assert page.startswith("<!DOCTYPE html>")
    assert walk.all("html")[0]["lang"] == "en"
    ids = [attrs["id"] for _, attrs in walk.seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in walk.seen:
        for name in (attrs.get("aria-labelledby") or "").split():
            assert name in ids
        if (attrs.get("href") or "").startswith("#"):
            assert (attrs["href"] or "")[1:] in ids


def test_nothing_comes_from_outside(page: str) -> None:
    for _, attrs in Walk(page).seen:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (attrs.get(name) or "#").startswith(("#", "data:")), attrs
    assert not re.search(r"@import|url\((?!#|data:)", page)
    assert "default-src 'none'" in page


def test_who_cannot_see_is_told_everything(page: str) -> None:
    walk = Walk(page)
    kinds = [name for name, _ in walk.seen]
    svgs: list[str] = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(svgs) >= 4
    for svg in svgs:
        assert re.search(r"<title id=\"[^\"]+\">[^<]{5,}</title>\s*<desc id=\"[^\"]+\">[^<]{10,}</desc>", svg)
    assert all(attrs.get("scope") in ("col", "row") for attrs in walk.all("th"))
    assert kinds.count("caption") == kinds.count("table")
    levels = [int(name[1]) for name in kinds if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for attrs in walk.all("div"):
        if attrs.get("class") == "scroll":
            assert attrs.get("aria-label")
            assert attrs.get("tabindex") == "0"


def test_contrast_is_that_of_wcag_aa_in_light_and_in_dark(page: str) -> None:
    themes = re.findall(r":root \{(.*?)\}", page, re.DOTALL)[:2]
    assert len(themes) == 2
    pairs = [("ink", "paper"), ("soft", "paper"), ("link", "paper"), ("ink", "shade"), ("link", "warn-shade")]
    pairs += [(name, f"{name}-shade") for name in ("rises", "falls", "plain", "warn")]
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
        for front, back in pairs:
            assert contrast(colours[front], colours[back]) >= 4.5, (front, back)


def test_the_numbers_are_those_of_the_report(rich: Path, page: str) -> None:
    report = aggregate(find_results([rich]))
    lines = {tuple(cells) for cells in Walk(page).rows}
    shown = [row for row in report.rows if row.cell.labels["attack"] == "model_extraction"]
    assert len(shown) == 16
    for row in shown:
        epsilon = str(row.cell.labels["defense.epsilon"])
        [cells] = [
            cells for cells in lines if cells[0].split()[-1] == row.metric and epsilon in cells and "±" in cells[-7]
        ]
        means = [
            format_numbers.plus_minus(row.summaries[v].mean, row.summaries[v].error) for v in ("undefended", "defended")
        ]
        assert [*cells[-7:-5]] == means
        assert cells[-4] == format_numbers.change(row.change.mean)
        assert cells[-3] == format_numbers.interval(row.change.low, row.change.high, signed=True)
        assert cells[-2] == "10"
        if row.verdict:
            assert row.verdict.outcome in cells[-1]
        seeds = [format_numbers.number(value, unit=False) for value in row.values["defended"].values()]
        assert any(cells[0] == row.metric and list(cells[-10:]) == seeds and "defended" in cells for cells in lines)


def test_findings_are_sentences_with_their_verdicts(page: str) -> None:
    text = " ".join(" ".join(Walk(page).text).split())
    assert re.search(r"\(fidelity_kappa\) goes from \d\d\.\d\d% to \d\d\.\d\d%: \+\d", text)
    assert "Holm-corrected" in text
    assert "Expected where the defence is effective, not measured here" in text
    assert re.search(r"seed 0: |in all", text)
    assert "no memory" in text
    for word in ("Set-up", "Findings", "Reproduce", "Configurations", "Versions and machines"):
        assert word in text


def test_a_measurement_beside_several_attacks_is_one_comparison(tmp_path: Path) -> None:
    for attack in ("model_extraction", "badnets"):
        metrics = {"undefended": {"robust_accuracy": 0.5}, "defended": {"robust_accuracy": 0.7}}
        for seed in range(10):
            metrics = {v: {"robust_accuracy": row["robust_accuracy"] + seed / 1000} for v, row in metrics.items()}
            write(
                tmp_path, MadeUp(metrics), seed=seed, chosen=choices(attack=attack), overrides={"attack.name": attack}
            )
    text = " ".join(" ".join(Walk(page_of(tmp_path)).text).split())
    assert "Holm-corrected over 1 comparison," in text
    assert "beside 2 attacks" in text


def test_a_finding_stands_beside_what_its_measurement_warned_of(tmp_path: Path) -> None:
    masked = {"evasion": {"defended": {"warnings": ["defended: gradients are masked"]}}}
    for seed in range(10):
        values = {"undefended": {"robust_accuracy": 0.5}, "defended": {"robust_accuracy": 0.7 + seed / 100}}
        write(tmp_path, MadeUp(values, manifest=masked if seed < 4 else {}), seed=seed)
    text = " ".join(" ".join(Walk(page_of(tmp_path)).text).split())
    assert "! read before citing: 1 warning defended: gradients are masked (4 of 10 seeds)" in text


def test_fewer_seeds_get_no_verdict(tmp_path: Path) -> None:
    sweep(tmp_path, 2)
    page = page_of(tmp_path)
    assert "There are no verdicts: they need 10 seeds" in page
    assert "badge rises" not in page


def test_below_ten_seeds_it_says_which_way_and_how_much_more_could_be_said(tmp_path: Path) -> None:
    for seed in range(3):
        values = {"undefended": {"robust_accuracy": 0.4}, "defended": {"robust_accuracy": 0.7 + seed / 100}}
        write(tmp_path, MadeUp(values), seed=seed)
    text = " ".join(" ".join(Walk(page_of(tmp_path)).text).split())
    assert "The interval leaves out 0, on the side of a lower risk" in text
    # a standard deviation of one point over ten seeds
    assert "a verdict needs 10 seeds, with which the interval would be about ±0.62 points" in text
    assert (
        "1 comparison: in 1 there are too few seeds for a verdict, of these the interval of 1 points to a lower" in text
    )


def test_it_speaks_plain_words(tmp_path: Path) -> None:
    sweep(tmp_path, 3)
    page = page_of(tmp_path)
    walk = Walk(page)
    titles = re.search(r"<h1>(.*?)</h1>", page)
    assert titles
    for word in ("adversarial training", "S1 evasion", "S3 unauthorized model ownership"):
        assert word in titles[1], "every risk that is compared"
    for heading in re.findall(r"<h[1-4][^>]*>(.*?)</h[1-4]>|<figcaption>(.*?)</figcaption>", page, re.DOTALL):
        assert not re.search(r"adv_training|dp_sgd|model_extraction", "".join(heading)), heading
    text = " ".join(" ".join(walk.text).split())
    assert "agreement beyond chance: (p_o - p_e) / (1 - p_e)" in text, "kappa is explained"
    assert page.index('id="findings"') < page.index('id="results"') < page.index('id="set-up"'), "the answer first"


def test_the_page_is_dated(tmp_path: Path) -> None:
    write(tmp_path, typical())
    results = find_results([tmp_path])
    assert "2026-02-03" in html_report(aggregate(results), results, date="2026-02-03")


def test_hostile_names_and_texts_stay_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    made = typical()
    made.warnings = [f"undefended: {evil} robust_accuracy & more"]
    write(tmp_path, made, chosen=choices(defense=evil), overrides={"epochs": f'"{evil}', "$x_{": evil})
    write_status(result_folder(config(7), choices(), tmp_path), "failed", error=evil)
    page = page_of(tmp_path)
    assert Walk(page).wrong == []
    assert page.count("<script") == 1
    assert unescape(page).count(evil) > 4


def test_a_warning_stands_once_beside_its_number_with_its_count(tmp_path: Path) -> None:
    for seed in range(4):
        made = typical(seed)
        made.warnings = [f"defended: robust_accuracy of {seed}.5 is odd"] if seed < 3 else []
        write(tmp_path, made, seed=seed)
    page = page_of(tmp_path)
    assert page.count("is odd") == 1
    assert "in 3 of 4 runs, first in seed 0" in page
    [row] = [cells for cells in Walk(page).rows if cells[0].split()[-1] == "robust_accuracy" and "±" in cells[1]]
    assert "warning 1" in row[-1]
    [other] = [cells for cells in Walk(page).rows if cells[0].split()[-1] == "test_accuracy" and "±" in cells[1]]
    assert "warning" not in other[-1]


def test_the_figures_that_have_no_room_are_named(rich: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST", 1)
    page = page_of(rich)
    assert page.count("<svg ") == 1
    assert "Figures that are not on this page" in page
    assert "amulet plot" in page


def test_six_hundred_runs_fit_into_five_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST", 2)
    results = in_memory(cells=60, seeds=10)
    page = html_report(aggregate(results), results)
    svgs = [len(svg) for svg in re.findall(r"<svg .*?</svg>", page, re.DOTALL)]
    assert len(page.encode()) + figures.ROOM + 2 * max(svgs) < 5_000_000


def test_too_many_rows_keep_to_what_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(tmp_path, 1, (0.1,))
    monkeypatch.setattr(build, "_MOST_ROWS", 3)
    page = page_of(tmp_path)
    assert "too many runs for all metrics" in page
    names = {cells[0].split()[-1] for cells in Walk(page).rows if cells and cells[0].strip()}
    assert "fidelity_kappa" in names
    assert "correct_fidelity" not in names


def test_the_commands_run_exactly_these_cells(tmp_path: Path) -> None:
    sweep(tmp_path, 10, (0.01, 0.1))
    sweep(tmp_path, 2, (0.3,))
    write(
        tmp_path, typical(), chosen=choices(defense="dp_sgd"), overrides={"metric": ["utility", "evasion"], "x": None}
    )
    of = "dataset=census model=linearnet defense={} attack=model_extraction"
    training = of.format("adv_training")
    assert sorted(commands(aggregate(find_results([tmp_path])))) == [
        f"amulet run -m {training} defense.epsilon=0.01,0.1 'seed=range(0,10)'",
        f"amulet run -m {training} defense.epsilon=0.3 'seed=range(0,2)'",
        f'amulet run {of.format("dp_sgd")} \'metric=["utility", "evasion"]\' x=null seed=0',
    ]


def test_the_verb_writes_the_page_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path / "outputs", 1, (0.1,))
    path = tmp_path / "new" / "report.html"
    assert main(["report", str(tmp_path / "outputs"), "--html", str(path)]) == 0
    assert "html written to" in capsys.readouterr().err
    assert "amulet report" in path.read_text(encoding="utf-8")


def test_a_folder_that_was_moved_is_enough(rich: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(rich / "census" / "linearnet" / "dp_sgd", moved)
    page = page_of(moved)
    assert "ROC of membership inference" in page


def test_results_of_another_schema_are_refused_with_a_message(tmp_path: Path) -> None:
    kept, newer = write(tmp_path, typical(0), seed=0), write(tmp_path, typical(1), seed=1)
    path = newer.folder / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 3}))
    page = unescape(page_of(tmp_path))
    assert "This result was written by another version of Amulet: `schema` 3" in page
    shutil.rmtree(kept.folder)
    assert main(["report", str(tmp_path), "--html", str(tmp_path / "r.html")]) == 2
    assert not (tmp_path / "r.html").exists()


# In a browser.


def test_a_browser_shows_the_page_without_a_complaint_or_a_request(tmp_path: Path, page: str) -> None:
    with browsed(tmp_path, page) as browser:
        assert "Reproduce" in browser.ask("document.body.innerText")
        assert browser.complaints == []
        assert [url for url in browser.requests if not url.startswith(("file:", "data:", "about:"))] == []


def test_no_page_is_wider_than_its_screen(tmp_path: Path, page: str) -> None:
    assert all(inside <= screen for screen, inside in widths(tmp_path, page).items())
