"""docs/access.md is what the attacks state."""

from pathlib import Path

from amulet_cli.views.access import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "access.md"


def test_the_page_says_what_the_attacks_state() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "python -m amulet_cli.views.access > docs/access.md"
