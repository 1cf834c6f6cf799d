"""Results are followed: what changed is read again, and nothing else."""

import shutil
from pathlib import Path

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.results import following
from amulet_cli.results.following import Following, Seen
from amulet_cli.results.result import Result
from amulet_cli.results.writing import write_status
from tests.helpers.made_up_results import typical, write


def states(found: list[Seen | Path]) -> list[str]:
    return [change.result.state if isinstance(change, Seen) else f"gone {change.name}" for change in found]


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (write(tmp_path, typical(seed), seed=seed).folder for seed in (0, 1))
    read: list[Path] = []
    known = following.result_in

    def reading(folder: Path) -> Result:
        read.append(folder)
        return known(folder)

    monkeypatch.setattr(following, "result_in", reading)
    follows = Following([tmp_path])
    assert states(list(follows.changes())) == ["done", "done"]
    assert (follows.read, follows.total, len(read)) == (2, 2, 2)
    assert list(follows.changes()) == []
    assert len(read) == 2
    third = first.with_name("seed=7")
    write_status(third, "running")
    assert states(list(follows.changes())) == ["running"]
    write_status(third, "failed", error="no memory")
    assert states(list(follows.changes())) == ["failed"]
    shutil.rmtree(second)
    assert states(list(follows.changes())) == ["gone seed=1"]
    assert read == [first, second, third, third]


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml", "metrics.csv", "evidence.npz"])
def test_damage_is_seen_and_named_and_ends_when_it_is_repaired(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, typical()).folder
    follows = Following([tmp_path])
    list(follows.changes())
    kept = (folder / name).read_bytes()
    if name == "evidence.npz":  # only its presence is looked at
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(kept[:-40])
    (change,) = follows.changes()
    assert isinstance(change, Seen)
    assert change.result.state == ("done" if name == "evidence.npz" else "unreadable") or change.result.reason
    (folder / name).write_bytes(kept)
    assert states(list(follows.changes())) == ["done"]


def test_a_folder_that_is_gone_is_an_error_and_may_come_again(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    write(root, typical())
    follows = Following([root])
    assert states(list(follows.changes())) == ["done"]
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="There is no folder"):
        list(follows.changes())
    (tmp_path / "elsewhere").rename(root)
    assert list(follows.changes()) == []
