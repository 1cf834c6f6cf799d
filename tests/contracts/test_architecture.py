"""The import rule of docs/architecture.md, read off the source."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("amulet", "amulet_cli")
RISKS = sorted(path.parent.name for path in (ROOT / "amulet").glob("*/protocol.py"))
FLOORS = {
    "amulet.core": 0,
    "amulet.datasets": 1,
    "amulet.models": 2,
    "amulet.training": 3,
    "amulet.victims": 4,
    **{f"amulet.{risk}": 4 for risk in RISKS},
    "amulet.assessment": 5,
    "amulet.utils": 5,
    "amulet.testing": 6,
    "amulet_cli.base": 7,
    "amulet_cli.results": 8,
    "amulet_cli.config": 9,
    "amulet_cli.analysis": 10,
    "amulet_cli.views": 11,
    "amulet_cli.execution": 12,
    "amulet_cli.commands": 13,
    "amulet_cli.paper": 13,
    "amulet_cli.cli": 14,
    "amulet_cli.python": 14,
}
RUNNERS_OWN = ("amulet_cli", "hydra", "hydra_plugins", "omegaconf", "rich", "yaml")
READS_OPTIONS = "amulet.testing"  # the test kit holds an option against its class: it may import yaml
HEAVY = ("torch", "torchvision", "opacus", "sklearn", "scipy", "pandas", "fairlearn", "torchmetrics")


def modules() -> list[tuple[str, Path]]:
    """Dotted name and file of every module of both packages."""
    found: list[tuple[str, Path]] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def room_of(module: str) -> str | None:
    """The room a dotted name lies in; None outside the house and for the bare `amulet` package."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in PACKAGES and len(parts) > 1 else None


def imports_of(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of whatever a module imports, within functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")
            above = above[: len(above) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in {"import_module", "__import__"}:
            names = (name.value for name in node.args[:1] if isinstance(name, ast.Constant))
            yield from ((node.lineno, name) for name in names if isinstance(name, str))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Every import of a module that the rule forbids, in words."""
    here = room_of(module)
    found: list[str] = []
    tree = ast.parse(source) if here else _at_run_time(source)
    for line, target in imports_of(tree, module, is_package=is_package):
        there = room_of(target)
        if here == READS_OPTIONS and target.split(".")[0] == "yaml":
            continue
        if module.split(".")[0] == "amulet" and target.split(".")[0] in RUNNERS_OWN:
            found.append(f"{module}:{line} imports {target}, which belongs to the runner")
        elif there in FLOORS and there != here:
            if (FLOORS[there] if here is None else FLOORS[there] - FLOORS[here]) > 0:
                found.append(f"{module}:{line} imports {target}, a floor above")
            elif here is not None and FLOORS[there] == FLOORS[here]:
                found.append(f"{module}:{line} imports {target}, its neighbour")
    return found


def import_graph(sources: Mapping[str, str], packages: frozenset[str] = frozenset()) -> dict[str, set[str]]:
    """Which of these modules each of them imports; a name that is no module counts for the module it lies in."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        graph[module] = set()
        for _, target in imports_of(ast.parse(source), module, is_package=module in packages):
            parts = target.split(".")
            prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            graph[module].update([prefix for prefix in prefixes if prefix in sources][:1])
    return graph


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, from one of them back to it; none if there is no circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return list(reversed(found.args[1]))
    return []


def _at_run_time(source: str) -> ast.Module:
    """Without what is there for type checkers alone: by that the bare package names what it offers."""
    tree = ast.parse(source)
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and _name(n.test) == "TYPE_CHECKING")]
    return tree


def test_every_module_keeps_the_import_rule() -> None:
    broken: list[str] = []
    for module, path in modules():
        broken += violations(path.read_text("utf-8"), module, is_package=path.name == "__init__.py")
    assert not broken, "\n".join(broken)


def test_only_the_bare_package_names_the_runner() -> None:
    # `amulet.assess` is the runner's, and imported when it is used: a name in a text, which no import shows.
    named: list[str] = []
    for module, path in modules():
        strings = (
            node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)
        )
        if any(re.fullmatch(r"amulet_cli[\w.:]*", text) for text in strings if isinstance(text, str)):
            named += [module] if module.split(".")[0] == "amulet" else []
    assert named == ["amulet"]


def test_no_module_imports_in_a_circle() -> None:
    sources = {name: path.read_text("utf-8") for name, path in modules()}
    sources["amulet"] = ast.unparse(_at_run_time(sources["amulet"]))
    graph = import_graph(sources, frozenset(name for name, path in modules() if path.name == "__init__.py"))
    assert sum(map(len, graph.values())) > len(graph)
    circle = circle_in(graph)
    assert not circle, " imports ".join(circle)


@pytest.mark.parametrize(
    ("sources", "circle"),
    [
        ({"a.b": "import a.c", "a.c": "def f():\n    from a.b import g"}, {"a.b", "a.c"}),
        (
            {
                "a.b": "from a import c\nimport a.e",
                "a.c": "from .d import thing",
                "a.d": "import typing\nif typing.TYPE_CHECKING:\n    from a.b import B",
                "a.e": "import torch",
            },
            {"a.b", "a.c", "a.d"},
        ),
        ({"a": "from a.b import B", "a.b": "from a import C"}, {"a", "a.b"}),
        ({"a": "from a.b import B", "a.b": "import a.c", "a.c": "import torch"}, set[str]()),
    ],
    ids=["in a function", "three, by a type", "through the package", "none"],
)
def test_a_circle_is_seen(sources: dict[str, str], circle: set[str]) -> None:
    assert set(circle_in(import_graph(sources, frozenset({"a"})))) == circle


def test_every_module_lies_in_a_room() -> None:
    strangers = [name for name, _ in modules() if name not in PACKAGES and room_of(name) not in FLOORS]
    assert not strangers, f"outside every room of docs/architecture.md: {strangers}"


@pytest.mark.parametrize(
    ("module", "source", "says"),
    [
        ("amulet.evasion.attacks", "from amulet.poisoning.attacks import BadNets", "its neighbour"),
        ("amulet.evasion.attacks", "import amulet.assessment", "a floor above"),
        ("amulet.evasion.attacks", "def f():\n    from amulet import poisoning", "its neighbour"),
        ("amulet.evasion.attacks.pgd", "from ...poisoning import attacks", "its neighbour"),
        ("amulet.evasion", "from ..assessment import assess", "a floor above"),
        (
            "amulet.datasets.census",
            "import importlib as i\ni.import_module('amulet.models')",
            "a floor above",
        ),
        (
            "amulet.core.stream",
            "import typing\nif typing.TYPE_CHECKING:\n    import amulet.training",
            "above",
        ),
        ("amulet.training.loop", "def f():\n    from rich import print", "belongs to the runner"),
        ("amulet.core.settings", "import omegaconf", "belongs to the runner"),
        ("amulet.assessment.plan", "from amulet_cli import cli", "belongs to the runner"),
        ("amulet.assessment.plan", "import yaml", "belongs to the runner"),
        ("amulet.assessment.plan", "from amulet.testing import check_attack", "a floor above"),
        ("amulet.testing.schema", "import omegaconf", "belongs to the runner"),
        ("amulet", "from amulet.evasion.attacks import EvasionPGD", "a floor above"),
    ],
)
def test_the_rule_catches(module: str, source: str, says: str) -> None:
    found = violations(source, module, is_package=module in {"amulet", "amulet.evasion"})
    assert len(found) == 1
    assert says in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("amulet_cli.execution.job", "import rich, omegaconf\nfrom amulet.assessment import assess"),
        ("amulet.evasion.protocol", "from amulet.training import Recipe\nfrom .attacks import EvasionPGD"),
        (
            "amulet.evasion.attacks.pgd",
            "from ...core import Component\nfrom ..metrics import robust_accuracy",
        ),
        ("amulet.training", "from .loop import fit"),
        ("amulet.testing.schema", "def f():\n    import yaml"),
        ("amulet.training.loop", "import amulet\nimport torch"),
    ],
)
def test_the_rule_lets_pass(module: str, source: str) -> None:
    assert violations(source, module, is_package=module == "amulet.training") == []


@pytest.mark.parametrize("module", ["amulet", "amulet_cli.cli"])
def test_importing_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    drawn_in = set(run.stdout.split())
    assert module in drawn_in
    assert drawn_in.isdisjoint(HEAVY), sorted(drawn_in.intersection(HEAVY))


def test_the_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    folders = [path.parent for _, path in modules() if path.name == "__init__.py"]
    assert len(folders) > len(PACKAGES)
    missing = [str(folder.relative_to(ROOT)) for folder in folders if f"{folder.name}/" not in page]
    assert not missing, f"docs/architecture.md does not show: {missing}"
