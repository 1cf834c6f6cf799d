"""Results are followed: what changed is read again, and nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.results import following
from amulet_cli.results.following import Following
from amulet_cli.results.result import Result
from amulet_cli.results.writing import write_status
from tests.helpers.made_up_results import typical, write


def follow(path: Path) -> Following[Result]:
    return Following([path], lambda looks: ((look, look.result()) for look in looks))


def states(follows: Following[Result]) -> list[str]:
    return [f"gone {folder.name}" if run is None else run.state for folder, run in follows.changes()]


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (write(tmp_path, typical(seed), seed=seed).folder for seed in (0, 1))
    read: list[Path] = []
    known = following.result_in

    def reading(folder: Path) -> Result:
        read.append(folder)
        return known(folder)

    monkeypatch.setattr(following, "result_in", reading)
    follows = follow(tmp_path)
    assert states(follows) == ["done", "done"]
    assert (follows.read, follows.total, len(read)) == (2, 2, 2)
    assert list(follows.changes()) == []
    assert len(read) == 2
    third = first.with_name("seed=7")
    write_status(third, "running")
    assert states(follows) == ["running"]
    write_status(third, "failed", error="no memory")
    assert states(follows) == ["failed"]
    shutil.rmtree(second)
    assert states(follows) == ["gone seed=1"]
    assert sorted(read) == sorted([first, second, third, third])


def test_the_newest_are_read_first_and_what_was_not_read_is_still_to_be_read(tmp_path: Path) -> None:
    folders = [write(tmp_path, typical(seed), seed=seed).folder for seed in range(4)]
    for age, seed in enumerate((2, 0, 3, 1)):
        for path in (*folders[seed].iterdir(), folders[seed]):
            os.utime(path, (1e9 - age, 1e9 - age))
    follows = follow(tmp_path)
    changes = follows.changes()
    assert [next(changes)[0], next(changes)[0]] == [folders[2], folders[0]]
    assert (follows.read, follows.total) == (2, 4)
    changes.close()
    assert [folder for folder, _ in follows.changes()] == [folders[3], folders[1]]
    assert (follows.read, follows.total) == (4, 4)


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml", "metrics.csv", "evidence.npz"])
def test_damage_is_seen_and_named_and_ends_when_it_is_repaired(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, typical()).folder
    follows = follow(tmp_path)
    list(follows.changes())
    kept = (folder / name).read_bytes()
    if name == "evidence.npz":  # only its presence is looked at
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(kept[:-40])
    ((_, run),) = follows.changes()
    assert run is not None
    assert run.state == ("done" if name == "evidence.npz" else "unreadable") or run.reason
    (folder / name).write_bytes(kept)
    assert states(follows) == ["done"]


def test_a_folder_that_is_gone_is_an_error_and_may_come_again(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    write(root, typical())
    follows = follow(root)
    assert states(follows) == ["done"]
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="There is no folder"):
        list(follows.changes())
    (tmp_path / "elsewhere").rename(root)
    assert list(follows.changes()) == []
