"""`amulet --cite`: how to cite the software and the paper, as BibTeX, from `CITATION.cff`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from amulet_cli.base.files import shipped
from amulet_cli.base.serialize import from_yaml

_SPECIAL = re.compile(r"[&%$#_]")
"""Characters that LaTeX takes for commands; in text they need a backslash."""
_ARXIV = "arXiv:"


def cite() -> str:
    """BibTeX entries of the software and of every work under `references`, an empty line between them."""
    record = from_yaml(shipped("CITATION.cff").read_text(encoding="utf-8"))
    return "\n\n".join(_bibtex(work) for work in (record, *record.get("references", ())))


def _bibtex(work: Mapping[str, Any]) -> str:
    kind = "software" if work["type"] == "software" else "misc"
    fields = "".join(f"  {name} = {{{value}}},\n" for name, value in _fields(work))
    return f"@{kind}{{{_key(work)},\n{fields}}}"


def _key(work: Mapping[str, Any]) -> str:
    """`waheed2025amulet`: first author, year and first word of the title, as far as there are any."""
    parts = (work["authors"][0].get("family-names", ""), work.get("year", ""), work["title"].split()[0])
    return re.sub(r"[^a-z0-9]", "", "".join(map(str, parts)).lower())


def _fields(work: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values, escaped, in the order of the entry; what is not there is left out."""
    yield "author", " and ".join(_author(author) for author in work["authors"])
    yield "title", f"{{{_escaped(work['title'])}}}"  # a second pair of braces keeps its capitals
    for name in ("version", "year", "month", "doi", "license"):
        if name in work:
            yield name, _escaped(str(work[name]))
    for identifier in work.get("identifiers", ()):
        if identifier["value"].startswith(_ARXIV):
            yield "eprint", identifier["value"].removeprefix(_ARXIV)
            yield "archiveprefix", "arXiv"
    if "url" in work:
        yield "url", work["url"]


def _author(author: Mapping[str, str]) -> str:
    """`Family, Given` of a person; an organisation in braces, so that its words are no names."""
    if "name" in author:
        return f"{{{_escaped(author['name'])}}}"
    return _escaped(f"{author['family-names']}, {author['given-names']}")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
