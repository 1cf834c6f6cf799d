"""What the documentation shows: its pages, and the commands printed on them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "experiments/**/*.md")
    for path in ROOT.glob(pattern)
    if "outputs" not in path.parts
)
_SCHEMATIC = re.compile(r"\.\.\.(?!\w)|\b(?:RUN_[AB]|FOLDER|NAME|FILE|OWNER)\b")


def blocks(page: Path) -> Iterator[str]:
    """The code on a page."""
    for token in MarkdownIt().parse(page.read_text("utf-8")):
        if token.type in ("fence", "code_block"):
            yield token.content


def own_files(page: Path) -> dict[str, str]:
    """The options of a user's own that a page shows: each says its path, ``# my_conf/attack/mine.yaml``."""
    found: dict[str, str] = {}
    for block in blocks(page):
        if match := re.match(r"(?:# @package \S+\n)?# (my_conf/\S+\.yaml)\n", block):
            found[match[1]] = block
    return found


def shortened(words: list[str]) -> list[str]:
    """A command for one seed, and an audit by all attacks for one attack: Hydra takes a while for each job."""
    runs = {"run": "seed=0", "audit": "seed=0", "validate": "seed=0", "matrix": "seeds=1"}
    if words[0] not in runs:
        return words
    kept = [*(word for word in words if not re.match(r"seeds?=", word)), runs[words[0]]]
    chosen = words[0] != "audit" or any(word.startswith("attack=") for word in words)
    return kept if chosen else [*kept, "attack=evasion_pgd"]


def commands(page: Path) -> list[list[str]]:
    """The words of every `amulet ...` on a line of its own in a page's code, but those with words to be filled in."""
    found: list[list[str]] = []
    for block in blocks(page):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            match = re.match(r"\s*(?:next\s+|- run: )?amulet (.*)", line)
            if match and not _SCHEMATIC.search(match[1].partition(" #")[0]):
                found.append(shlex.split(match[1], comments=True))
    return found
