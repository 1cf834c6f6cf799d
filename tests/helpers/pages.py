"""Pages as their elements, in a headless browser, and the contrast of their colours."""

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.helpers.chromium import CHROMIUM, Page, chromium

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "area", "base", "embed", "source", "track", "wbr"}


class Walk(HTMLParser):
    """A page as its elements, with whatever is wrong about them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        self.wrong += [f"<{name}> is never closed" for name, _ in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()} closes {self.open[-1][0] if self.open else 'nothing'}")
        if self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        names = [name for name, _ in self.open]
        if names and names[-1] not in ("style", "script"):
            self.text.append(data)
        if self.rows and ("td" in names or "th" in names):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.seen if name == tag]


def contrast(front: str, back: str) -> float:
    """The ratio of WCAG of two colours, `#rrggbb` each."""
    light, dark = sorted((luminance(front), luminance(back)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@contextmanager
def browsed(tmp_path: Path, page: str) -> Iterator[Page]:
    """A page that is a file of its own, in a browser."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        browser.open((tmp_path / "page.html").as_uri())
        yield browser


def widths(tmp_path: Path, page: str) -> dict[int, int]:
    """By the width of a screen, a phone's and a desk's, how wide the page is on it with everything unfolded."""
    found: dict[int, int] = {}
    with browsed(tmp_path, page) as browser:
        for width in (375, 1280):
            browser.open((tmp_path / "page.html").as_uri(), width)
            browser.ask("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            found[width] = browser.ask("document.documentElement.scrollWidth")
    return found
