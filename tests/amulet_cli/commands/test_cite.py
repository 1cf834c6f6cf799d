"""How to cite Amulet: one file says it, for a forge, for `amulet --cite` and in the wheel."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import amulet
import amulet_cli
from amulet_cli.base import files
from amulet_cli.commands.cite import cite

ROOT = Path(amulet_cli.__file__).resolve().parents[1]
ENTRY = re.compile(r"@(?P<kind>\w+)\{(?P<key>\w+),\n(?P<fields>(?:  \w+ = \{.*\},\n)+)\}")


@pytest.fixture
def record() -> Any:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))


def entries(text: str) -> list[tuple[str, str, dict[str, str]]]:
    """Kind, key and fields of every entry; whatever is no entry fails."""
    found: list[tuple[str, str, dict[str, str]]] = []
    for block in text.split("\n\n"):
        entry = ENTRY.fullmatch(block)
        assert entry, block
        fields = dict(re.findall(r"  (\w+) = \{(.*)\},\n", entry["fields"]))
        assert all(value.count("{") == value.count("}") for value in fields.values())
        found.append((entry["kind"], entry["key"], fields))
    return found


def test_the_file_is_of_this_version(record: Any) -> None:
    assert record["cff-version"] == "1.2.0"
    assert record["version"] == amulet.__version__


def test_software_and_paper(record: Any) -> None:
    (kind, key, software), (paper_kind, paper_key, paper) = entries(cite())
    assert (kind, key, paper_kind, paper_key) == ("software", "amulet", "misc", "waheed2025amulet")
    assert software["author"] == "{The Amulet developers}"
    assert software["version"] == amulet.__version__
    (reference,) = record["references"]
    assert paper["title"] == f"{{{reference['title']}}}"
    families = [author["family-names"] for author in reference["authors"]]
    assert [author.split(",")[0] for author in paper["author"].split(" and ")] == families
    assert paper["url"].endswith(paper["eprint"])


def test_an_installed_package_reads_its_own_copy_and_escapes_for_latex(
    tmp_path: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "amulet_cli"
    (package / "base").mkdir(parents=True)
    monkeypatch.setattr(files, "__file__", str(package / "base" / "files.py"))
    record["title"] = "100% of A_B & more"
    (package / "CITATION.cff").write_text(yaml.safe_dump(record), "utf-8")
    (_, _, software), _ = entries(cite())
    assert software["title"] == r"{100\% of A\_B \& more}"


def test_wheel_and_source_distribution_carry_it() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["force-include"]["CITATION.cff"] == "amulet_cli/CITATION.cff"
    assert "/CITATION.cff" in targets["sdist"]["include"]
