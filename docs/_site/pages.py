"""What the site is made of: the repository's own pages where they are, its notebooks, and a reference from docstrings.

MkDocs calls the `on_...` functions (`hooks:` in mkdocs.yml). Pages keep the paths that they have in the repository, so
the same relative links work there and on the site, and MkDocs checks them all.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "*.md",
    "CITATION.cff",
    "LICENSE",
    "NOTICE",
    "docs/_site/*.css",
    "docs/[!_]*",
    "docs/[!_]*/**/*",
    "experiments/**/*",
    "amulet_cli/analysis/deployment/*.yaml",
    "amulet_cli/policies/*.yaml",
    ".github/**/gate.yml",
    ".github/**/action.yml",
)
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source|link(?![^>]*\brel="?canonical))\b[^>]*?\b(?:src|href)\s*=\s*["']?((?:https?:)?//[^"'\s>]+)"""
)
PARTS = ("attacks", "defenses", "metrics")
NOTEBOOK = re.compile(r"(\]\([^)#\s]+)\.ipynb\b")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, the repository's, and the pages that are made from code and notebooks."""
    docs = Path(config.docs_dir)
    ours = Files([file for file in files if not file.src_dir or Path(file.src_dir) != docs])
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        ours.append(placed(File(name, str(ROOT), config.site_dir, config.use_directory_urls)))
        if path.suffix == ".ipynb":
            ours.append(placed(File.generated(config, f"{name[:-6]}.md", content=page_of(path))))
    for package, page in references():
        ours.append(placed(File.generated(config, f"docs/api/{package}.md", content=page)))
    return ours


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A link to a notebook leads to the page made from it."""
    return NOTEBOOK.sub(r"\1.md", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Nothing on a page is loaded from elsewhere; links that a reader follows may lead there."""
    for page in sorted(Path(config.site_dir).rglob("*.html")):
        if found := loaded_from_elsewhere(page.read_text("utf-8")):
            raise PluginError(f"{page} loads {', '.join(found)}")


def loaded_from_elsewhere(html: str) -> list[str]:
    """The addresses from which a page would load a script, a style, a font or a picture."""
    return [match[1] for match in ELSEWHERE.finditer(html)]


def sources() -> Iterator[Path]:
    """The repository's files that the site shows or links to."""
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and not {"__pycache__", "outputs"} & set(path.relative_to(ROOT).parts):
                yield path


def placed(file: File) -> File:
    """The pages of docs/ are at the top of the site, as the README is."""
    file.dest_uri = file.dest_uri.removeprefix("docs/")
    return file


def references() -> Iterator[tuple[str, str]]:
    """Each package of the library, and a page with what its docstrings say about the names in its `__all__`.

    A risk's names are those of its attacks, defences and metrics (docs/public.md).
    """
    library = ROOT / "amulet"
    for package in sorted(source.parent for source in library.glob("*/__init__.py")):
        parts = [part for name in PARTS if (part := package / name).is_dir()]
        sections = "".join(f"## {part.name}\n\n{names_of(part, level=3)}" for part in parts)
        text = sections and names_of(package, level=2, members="false") + sections
        yield f"amulet.{package.name}", f"# amulet.{package.name}\n\n{text or names_of(package, level=2)}"
    names = exported(library) - {package.parent.name for package in library.glob("*/__init__.py")}
    shown = "".join(f"::: amulet.{name}\n\n" for name in sorted(names) if not name.startswith("_"))
    yield (
        "amulet",
        f"# amulet\n\nThe same runs as on the command line, from Python: [examples](../python.md).\n\n{shown}",
    )


def names_of(package: Path, *, level: int, members: str = "null") -> str:
    """The reference of a package, without a heading of its own."""
    name = ".".join(package.relative_to(ROOT).parts)
    options = {"show_root_heading": "false", "show_root_toc_entry": "false", "heading_level": level, "members": members}
    lines = [f"::: {name}", "    options:", *(f"      {key}: {value}" for key, value in options.items())]
    return "\n".join(lines) + "\n\n"


def exported(package: Path) -> set[str]:
    """The names in a package's `__all__`."""
    for node in ast.parse((package / "__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def page_of(notebook: Path) -> str:
    """A notebook as Markdown, with the outputs that it stores."""
    parts = list[str]()
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts += [f"```python\n{source}\n```", *(shown(output) for output in cell["outputs"])]
    download = f'<a href="{notebook.name}" download>This page as a notebook</a>'
    return "\n\n".join([*parts[:1], download, *parts[1:]]) + "\n"


def shown(output: dict[str, Any]) -> str:
    """One output of a cell: its picture, else its table, else its text."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}```"
    data = {kind: "".join(value) for kind, value in output["data"].items()}
    if "image/png" in data:
        width = output.get("metadata", {}).get("image/png", {}).get("width", "")
        return f'<img alt="" width="{width}" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/html" in data:
        lines = [line for line in data["text/html"].splitlines() if line.strip()]
        return "\n".join(['<div class="output">', *lines, "</div>"])
    return f"```text\n{data['text/plain']}\n```"
