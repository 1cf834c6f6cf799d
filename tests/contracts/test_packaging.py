"""What is built from a checkout holds everything that a run needs, and runs from anywhere."""

import contextlib
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by way of the source distribution: what that one lacks is missing here too."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (built,) = folder.glob("amulet_cli-*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, laid out as an installer lays it out."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def relative_files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_carries_code_options_and_data(site: Path) -> None:
    assert (site / "amulet_cli" / "conf" / "config.yaml").is_file()
    assert relative_files(site / "amulet_cli" / "conf") == relative_files(ROOT / "conf")
    for package in ("amulet", "amulet_cli"):
        assert relative_files(ROOT / package) <= relative_files(site / package)
    assert {"adult.data.xz", "adult.test.xz"} <= relative_files(site / "amulet" / "datasets" / "_files")


def test_wheel_holds_nothing_else(site: Path) -> None:
    folders = {path.name for path in site.iterdir()}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"amulet", "amulet_cli"}


def test_the_source_distribution_can_build_the_site_and_does_not_carry_it(wheel: Path) -> None:
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"mkdocs.yml", "docs/_site/pages.py"} <= names
    (folder,) = (
        line.split()[1] for line in (ROOT / "mkdocs.yml").read_text("utf-8").splitlines() if "site_dir" in line
    )
    assert not [name for name in names if name.startswith(folder)]
    assert f"/{folder.partition('/')[0]}/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_wheel_carries_the_licences(site: Path) -> None:
    (licences,) = site.glob("*.dist-info/licenses")
    assert "Apache License" in (licences / "LICENSE").read_text("utf-8")
    notices = [licences / "NOTICE", *(site / "amulet" / "datasets" / "_files").glob("*.txt")]
    assert len(notices) > 1
    assert all("CC BY 4.0" in notice.read_text("utf-8") for notice in notices)


def test_wheel_declares_the_command(site: Path) -> None:
    (entry_points,) = site.glob("*.dist-info/entry_points.txt")
    assert "amulet = amulet_cli.cli:main" in entry_points.read_text("utf-8")


def test_wheel_runs_from_any_folder(site: Path, workdir: Path) -> None:
    code = "import sys, amulet_cli.cli as cli; print(cli.__file__, flush=True); sys.exit(cli.main())"
    run = subprocess.run(
        [sys.executable, "-c", code, "validate", "dataset=census"],
        cwd=workdir,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith(str(site))


def needed_by(name: str, extras: frozenset[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """What an installed distribution asks for here, with the extras."""
    for line in requires(name) or []:
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield canonicalize_name(needed.name), frozenset(needed.extras)


def test_everything_that_is_installed_is_pinned() -> None:
    """Of each requirement what that requires too: else the same command installs other code tomorrow."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if line and not line.startswith("#")}
    direct = {canonicalize_name(Requirement(line).name) for line in requires("amulet-cli") or []}
    assert direct - pinned <= {"amulet-cli"}
    seen, left = set[tuple[str, frozenset[str]]](), list[tuple[str, frozenset[str]]]()
    left += [(name, frozenset()) for name in direct - {"amulet-cli"}]
    while left:
        if (one := left.pop()) not in seen:
            seen.add(one)
            with contextlib.suppress(PackageNotFoundError):  # an extra that is not installed here
                left += needed_by(*one)
    found = {name for name, _ in seen if is_installed(name)}
    assert found - pinned <= {"pip", "setuptools", "wheel"}


def is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False
