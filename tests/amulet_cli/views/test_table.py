"""Names that came from results can be anything: no format obeys what stands in them."""

import csv
import io

import pytest
from markdown_it import MarkdownIt

from amulet_cli.base.serialize import tidy_csv
from amulet_cli.views.table import Table, latex, markdown

EVIL = "x\n\\input{/etc/passwd} <script>alert(1)</script> | & 5% $a_b$ ~ ^"


def table() -> Table:
    return Table(title=EVIL, head=("metric", EVIL), blocks=(((EVIL, "1.00 ± 0.10"),),), align="lr", notes=(EVIL,))


def test_latex_reads_names_as_text_and_comments_as_comments() -> None:
    text = latex([table()], [EVIL])
    outside = [line for line in text.splitlines() if not line.startswith("%")]
    assert all("\\input" not in line for line in outside)
    assert all(line.startswith(("\\", "metric", "x ")) or not line for line in outside)
    assert all(f"\\{sign}" in text for sign in "&%$_")


def test_markdown_renders_names_as_text() -> None:
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown([table()], strong=True))
    assert "<script>" not in page
    assert page.count("<td") == 2
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("formula", ['=HYPERLINK("http://evil")', "@SUM(A1)", "+A1(B2)", "-cmd|' /C calc'!A0", "\t=1"])
def test_a_spreadsheet_meets_no_formula(formula: str) -> None:
    head, row = csv.reader(io.StringIO(tidy_csv([{formula: formula, "value": -0.5, "+experiment": "table7"}])))
    assert head == [f"'{formula}", "value", "+experiment"]
    assert row == [f"'{formula}", "-0.5", "table7"]
