"""The viewer's page in a real browser: on a desk and on a phone, by the keyboard, beside a running sweep."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amulet_cli.results import following
from amulet_cli.results.result import Result, result_folder
from amulet_cli.results.writing import write_status
from amulet_cli.views.viewer.server import Server
from tests.helpers.chromium import CHROMIUM, Page, chromium
from tests.helpers.made_up_results import choices, config, typical, with_records, write
from tests.helpers.report_toys import membership
from tests.helpers.viewers import viewing

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

READY = "document.body.dataset.ready"
OPENED = "document.querySelector('#details h2') && document.querySelector('#details h2').textContent"
SECONDS = 10.0
"""For what takes less than two on an idle machine: tests share theirs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    for epsilon in (0.01, 0.1):
        for seed in range(3):
            made = with_records(typical(seed, epsilon))
            made.warnings.append("undefended: <img src=x onerror=alert(1)> are few records")
            write(root, made, seed=seed, overrides={"defense.epsilon": epsilon})
    membership(root)
    write_status(result_folder(config(99), choices(), root), "failed", error="<script>no memory</script>")
    return root


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with viewing(folder) as made:
        yield made


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The browser; in the end its console must be empty."""
    browser.complaints.clear()
    yield browser
    assert browser.complaints == []


def names(page: Page) -> list[str]:
    return page.ask("[...document.querySelectorAll('#body th a')].map(link => link.closest('th').innerText)")


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_view_fits_its_screen(page: Page, server: Server, width: int, dark: bool) -> None:
    fits = "document.documentElement.scrollWidth <= innerWidth"
    page.open(server.address, width, dark=dark)
    page.until(READY)
    assert page.ask(fits)
    ids = page.ask("[...document.querySelectorAll('#body tr')].map(row => row.dataset.id)")
    for shown in (ids[0], ",".join(ids[:3])):
        page.ask(f"location.hash = 'show={shown}'")
        page.until(OPENED)
        page.ask("document.querySelectorAll('#details details').forEach(one => one.open = true)")
        assert page.ask(fits)
    page.ask("location.hash = ''")
    assert page.ask("getComputedStyle(document.body).backgroundColor") == (
        "rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)"
    )


def test_texts_of_results_are_texts(page: Page, server: Server) -> None:
    page.open(f"{server.address}#state=failed")
    page.until("document.body.innerText.includes('<script>no memory</script>')")
    page.open(f"{server.address}#q=model_extraction+seed%3D0")
    page.until(READY)
    page.ask("document.querySelector('#body a').click()")
    page.until("document.body.innerText.includes('<img src=x onerror=alert(1)> are few records')")
    assert page.ask("document.querySelector('img[src=x]')") is None


def test_filters_are_in_the_address_and_back_from_it(page: Page, server: Server) -> None:
    page.open(server.address)
    page.until(READY)
    page.ask("$('form').attack.value = 'lira'; $('form').attack.dispatchEvent(new Event('input', {bubbles: true}))")
    page.until("$('count').textContent === '1 run shown'")
    assert page.ask("location.hash") == "#attack=lira"
    assert [name.splitlines()[0] for name in names(page)] == ["dp_sgd · lira"]
    page.open(f"{server.address}#rows=cells&q=0.1&sort=defended&order=up")
    page.until("$('count').textContent === '1 cell shown'")
    assert page.ask("[$('form').rows.value, $('form').q.value, $('form').sort.value, $('form').order.value]") == [
        "cells",
        "0.1",
        "defended",
        "up",
    ]
    assert "3 seeds: 0, 1, 2" in page.ask("$('body').innerText")


def test_rows_are_sorted_by_their_numbers(page: Page, server: Server) -> None:
    page.open(f"{server.address}#attack=model_extraction&state=done&metric=robust_accuracy&sort=undefended&order=up")
    page.until(READY)
    found = page.ask(
        "[...document.querySelectorAll('#body [data-label=undefended]')].map(cell => parseFloat(cell.innerText))"
    )
    assert len(found) == 6
    assert found == sorted(found)
    page.ask("document.querySelector('[data-sort=undefended]').click()")
    page.until("location.hash.includes('sort=undefended') && !location.hash.includes('order')")
    page.until("document.querySelector('[aria-sort]').getAttribute('aria-sort') === 'descending'")


def test_the_keyboard_is_enough(page: Page, server: Server) -> None:
    page.open(f"{server.address}#state=done&sort=name&order=up")
    page.until(READY)
    page.press("Tab")
    assert page.ask("document.activeElement.className") == "skip"
    page.press("Enter", "ArrowDown")
    first = page.ask("document.activeElement.dataset.show")
    assert page.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    assert "seed" in page.until(OPENED)
    page.until("document.activeElement.tagName === 'H2'")
    assert page.ask("document.querySelector('.numbers').innerText.includes('higher is worse')")
    page.press("Escape")
    page.until(f"document.activeElement.dataset.show === '{first}'")
    page.ask("document.querySelector('#body input').focus()")
    page.press(" ", "ArrowDown", " ")
    page.until("$('chosen-count').textContent === '2 chosen'")
    page.ask("$('compare').focus()")
    page.press("Enter")
    assert page.until(OPENED) == "2 side by side"
    hands = "[...document.querySelectorAll('button, a[href], input, select')].filter(one => one.offsetParent)"
    named = "one.innerText || one.labels?.length || one.ariaLabel"
    assert page.ask(f"{hands}.every(one => {named})")


def test_figures_evidence_and_configuration_open(page: Page, server: Server) -> None:
    page.open(f"{server.address}#attack=lira")
    page.until(READY)
    page.ask("document.querySelector('#body a').click()")
    page.until(OPENED)
    page.ask("document.querySelectorAll('#details details').forEach(one => one.open = true)")
    page.until("document.body.innerText.includes('membership_inference.scores.lira_online')")
    page.until("document.body.innerText.includes('_target_: amulet.membership_inference.attacks.LiRA')")
    page.until("document.querySelector('figure img')?.naturalWidth > 100")
    assert "ROC" in page.ask("document.querySelector('figure img').alt")


def test_a_running_sweep_is_followed(page: Page, tmp_path: Path) -> None:
    with viewing(tmp_path) as server:
        page.open(server.address, 375)
        page.until("$('status').textContent.startsWith('No run yet')")
        for seed in range(20):
            folder = result_folder(config(seed), choices(), tmp_path)
            write_status(folder, "running", choices=choices(), overrides={})
            (folder / "run.log").write_text("epoch 1\n")
        page.until("$('status').textContent === '20 runs: 20 unfinished'")
        page.ask("document.querySelector('#body a').click()")
        page.until("document.querySelector('#log')?.textContent === 'epoch 1\\n'")
        for seed in range(20):
            write(tmp_path, typical(seed), seed=seed)
        page.until("$('status').textContent === '20 runs: 20 done'")
        page.until("document.querySelector('.numbers')")  # of the run that is open
        write_status(result_folder(config(3), choices(), tmp_path), "failed", error="a disk broke")
        page.until("$('status').textContent === '20 runs: 19 done, 1 failed'")
        page.open("about:blank")


def test_the_page_says_how_far_reading_is(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        folder = write(tmp_path, typical(seed), seed=seed).folder
        for path in (*folder.iterdir(), folder):
            os.utime(path, (1e9 + seed, 1e9 + seed))
    goes_on, known = threading.Event(), following.result_in

    def reading(folder: Path) -> Result:
        if folder.name == "seed=0":  # the oldest
            assert goes_on.wait(60)
        return known(folder)

    monkeypatch.setattr(following, "result_in", reading)
    with viewing(tmp_path) as server:
        page.open(server.address)
        page.until("$('status').textContent === 'Reading results: 2 of 3 read …'")
        page.until("document.querySelectorAll('#body tr').length === 2")
        goes_on.set()
        page.until("$('status').textContent === '3 runs: 3 done'")
        page.open("about:blank")


def test_two_thousand_results_are_shown_while_they_are_read(page: Page, tmp_path: Path) -> None:
    first = write(tmp_path, with_records(typical())).folder
    for seed in range(1, 2000):
        other = first.with_name(f"seed={seed}")
        other.mkdir()
        for path in first.iterdir():
            (other / path.name).hardlink_to(path)
    began = time.monotonic()
    with viewing(tmp_path) as server:
        page.open(server.address)
        page.until("document.querySelector('#body tr')", SECONDS)
        page.until(READY)
        assert time.monotonic() - began < SECONDS
        assert page.ask("$('status').textContent") == "2,000 runs: 2,000 done"
        assert page.ask("document.querySelectorAll('#body tr').length") == 100
        page.ask("$('more').click()")
        page.until("document.querySelectorAll('#body tr').length === 200")
        page.open("about:blank")


def test_a_viewer_that_has_ended_is_named(browser: Page, tmp_path: Path) -> None:
    with viewing(tmp_path) as server:
        browser.open(server.address)
        browser.until(READY)
    browser.until("!$('trouble').hidden && $('trouble').textContent.includes('does not answer')")
