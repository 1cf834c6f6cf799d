"""The viewer's server: what it tells of runs, and what it does not give away."""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amulet.core.facts import MetricFacts
from amulet_cli.base.errors import UsageError
from amulet_cli.results import following
from amulet_cli.results.following import Look
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import Result, result_folder
from amulet_cli.results.writing import write_status
from amulet_cli.views.viewer import readers
from amulet_cli.views.viewer.kept import Kept
from amulet_cli.views.viewer.live import Live
from amulet_cli.views.viewer.readers import Readers
from amulet_cli.views.viewer.rows import Row, Rows
from amulet_cli.views.viewer.server import HOST, Server
from tests.helpers.made_up_results import choices, config, reseal, typical, with_records, write
from tests.helpers.report_toys import membership
from tests.helpers.viewers import ask, feed_when, file_of, viewing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two settings with three seeds each, and one run each that failed, was damaged, is running."""
    root = tmp_path_factory.mktemp("results")
    for epsilon in (0.01, 0.1):
        for seed in range(3):
            made = with_records(typical(seed, epsilon))
            made.warnings.append("undefended: <b>few</b> records")
            write(root, made, seed=seed, overrides={"defense.epsilon": epsilon})
    write_status(result_folder(config(99), choices(), root), "failed", error="no memory for <script>")
    write_status(result_folder(config(98), choices(), root), "running", choices=choices(), overrides={})
    damaged = write(root, typical(5), seed=5).folder / "metrics.json"
    damaged.write_text(damaged.read_text()[:-100])
    return root


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with viewing(folder) as made:
        feed_when(made, 9)
        yield made


@pytest.fixture(scope="module")
def rows(server: Server) -> list[dict[str, Any]]:
    found = ask(server, "feed?since=0").json["runs"]
    return sorted(found, key=lambda row: (row["settings"], row["seed"]))


def test_the_feed_has_every_run_in_its_state(rows: list[dict[str, Any]]) -> None:
    states = sorted(row["state"] for row in rows)
    assert states == [*["done"] * 6, "failed", "unfinished", "unreadable"]
    assert {row["reason"] for row in rows if row["state"] == "failed"} == {"no memory for <script>"}
    assert all("damaged" in row["reason"] for row in rows if row["state"] == "unreadable")
    done = [row for row in rows if row["state"] == "done"]
    assert [(row["settings"], row["seed"]) for row in done] == [
        ([f"defense.epsilon {epsilon}"], seed) for epsilon in (0.01, 0.1) for seed in range(3)
    ]
    assert len({row["cell"] for row in done}) == 2


def test_a_run_is_about_what_decides_on_the_attacked_risk(folder: Path, rows: list[dict[str, Any]]) -> None:
    facts = next(run.facts for run in find_results([folder]) if run.state == "done")
    deciding = {name for name in facts.metrics if facts.of(name).decides and facts.of(name).risk == facts.attacked}
    assert {row["main"] for row in rows if row["state"] == "done"} <= deciding


def test_the_feed_has_the_numbers_of_the_results(folder: Path, rows: list[dict[str, Any]]) -> None:
    by_folder = {str(run.folder.relative_to(folder.resolve())): run for run in find_results([folder])}
    for row in rows:
        run = by_folder[row["folder"]]
        assert {one[0] for one in row["metrics"]} == set(run.names)
        for name, _, before, after, _ in row["metrics"]:
            assert [before[0], after[0]] == [run.value(victim, name) for victim in ("undefended", "defended")]


def test_facts_of_metrics_come_from_the_result(tmp_path: Path) -> None:
    run = write(tmp_path, typical())
    path = run.folder / "metrics.json"
    stated = json.loads(path.read_text())["facts"]
    stated["metrics"]["fidelity"] = MetricFacts(
        name="fidelity", label="how sour it tastes", risk="evasion", harm="lower", unit="pH", decides=False
    ).as_dict()
    reseal(path, facts=stated)
    with viewing(tmp_path) as server:
        found = feed_when(server, 1)
        (facts,) = [one for one in found["metrics"].values() if one["name"] == "fidelity"]
        assert {key: facts[key] for key in ("title", "unit", "harm", "decides")} == {
            "title": "how sour it tastes",
            "unit": "pH",
            "harm": "lower",
            "decides": False,
        }
        side = ask(server, f"details?of={found['runs'][0]['id']}").json
        (row,) = [row for block in side["risks"] for row in block["rows"] if row["name"] == "fidelity"]
        assert (row["title"], row["harm"]) == ("how sour it tastes", "lower")


def test_only_what_changed_is_sent(tmp_path: Path) -> None:
    runs = [write(tmp_path, typical(seed), seed=seed) for seed in range(3)]
    with viewing(tmp_path) as server:
        first = feed_when(server, 3)
        nothing = ask(server, f"feed?since={first['revision']}").json
        assert (nothing["runs"], nothing["metrics"], nothing["gone"]) == ([], {}, [])
        write_status(runs[1].folder, "failed", error="a disk broke")
        write_status(runs[1].folder.with_name("seed=9"), "running", choices=choices(), overrides={})
        second = feed_when(server, 2, first["revision"])
        assert sorted((row["seed"], row["state"]) for row in second["runs"]) == [(1, "failed"), (9, "unfinished")]
        assert second["metrics"] == {}


def test_a_second_viewer_reads_only_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [write(tmp_path, typical(seed), seed=seed).folder for seed in range(3)]
    with viewing(tmp_path) as server:
        first = feed_when(server, 3)
    write_status(runs[0], "failed", error="a disk broke")
    shutil.rmtree(runs[1])
    read: list[Path] = []
    known = following.result_in

    def reading(folder: Path) -> Result:
        read.append(folder)
        return known(folder)

    monkeypatch.setattr(following, "result_in", reading)
    with viewing(tmp_path) as server:
        second = feed_when(server, 2)
    assert read == [runs[0]]
    assert sorted((row["seed"], row["state"]) for row in second["runs"]) == [(0, "failed"), (2, "done")]
    assert [row for row in second["runs"] if row["seed"] == 2] == [row for row in first["runs"] if row["seed"] == 2]
    assert second["metrics"] == first["metrics"]
    assert second["gone"] == [row["id"] for row in first["runs"] if row["seed"] == 1]


def test_rows_are_sent_while_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        for path in write(tmp_path, typical(seed), seed=seed).folder.iterdir():
            os.utime(path, (1e9 + seed, 1e9 + seed))
            os.utime(path.parent, (1e9 + seed, 1e9 + seed))
    goes_on = threading.Event()
    known = following.result_in

    def reading(folder: Path) -> Result:
        if folder.name == "seed=0":  # the oldest
            assert goes_on.wait(20)
        return known(folder)

    monkeypatch.setattr(following, "result_in", reading)
    with viewing(tmp_path) as server:
        end, found = time.monotonic() + 20, ask(server, "feed?since=0").json
        while found["read"] < 2 and time.monotonic() < end:
            found = ask(server, "feed?since=0").json
        assert (found["reading"], found["read"], found["total"]) == (True, 2, 3)
        assert {row["seed"] for row in found["runs"]} == {1, 2}
        goes_on.set()
        later = feed_when(server, 1, found["revision"])
        assert [row["seed"] for row in later["runs"]] == [0]


def test_many_are_read_in_processes_as_few_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write(tmp_path, with_records(typical(seed)), seed=seed).folder for seed in range(5)]
    (folders[1] / "metrics.json").write_text("{")
    (folders[2] / "config.yaml").write_text("epochs: 3")
    looks = [*(Look(folder, 1e9) for folder in folders), Look(tmp_path / "closed", 0.0, "This folder cannot be read")]
    here = dict(Readers([tmp_path]).rows(looks))
    assert list(here) == looks
    assert [bool(json.loads(row.text)["reason"]) for row in here.values()] == [False, True, True, False, False, True]
    monkeypatch.setattr(readers, "_FEW", 2)
    monkeypatch.setattr(readers, "_PIECE", 1)
    monkeypatch.setattr(readers, "available_cores", lambda: 2)
    read_there: list[Row] = []
    helped, helping, reading = threading.Event(), readers.HelperProcess.rows, Rows.of

    def in_helper(process: readers.HelperProcess, piece: list[Look]) -> list[Row]:
        made = helping(process, piece)
        read_there.extend(made)
        helped.set()
        return made

    def in_this(rows: Rows, look: Look) -> Row:
        assert helped.wait(20)
        return reading(rows, look)

    def keys(rows: dict[Look, Row]) -> set[str]:
        return {key for row in rows.values() for key in row.metrics}

    monkeypatch.setattr(readers.HelperProcess, "rows", in_helper)
    monkeypatch.setattr(Rows, "of", in_this)
    there = dict(Readers([tmp_path]).rows(looks))
    assert read_there
    assert there.keys() == here.keys()
    assert all((row.id, row.text) == (here[look].id, here[look].text) for look, row in there.items())
    assert keys(there) == keys(here)


@pytest.mark.parametrize("starts", [False, True])
def test_what_a_process_that_has_ended_did_not_read_is_read_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: bool
) -> None:
    looks = [Look(write(tmp_path, typical(seed), seed=seed).folder, 0.0) for seed in range(3)]
    monkeypatch.setattr(readers, "_FEW", 0)
    monkeypatch.setattr(readers, "_PIECE", 1)
    monkeypatch.setattr(readers, "available_cores", lambda: 3)
    monkeypatch.setattr(readers.sys, "executable", shutil.which("echo" if starts else "true"))
    found = dict(Readers([tmp_path]).rows(looks))
    assert [json.loads(found[look].text)["state"] for look in looks] == ["done"] * 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": 3, "metrics": {}}', '{"rows": {"a": 1}, "metrics": {}}'])
def test_a_damaged_cache_is_no_cache(tmp_path: Path, content: str) -> None:
    write(tmp_path, typical())
    kept = Kept([tmp_path]).path
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(content)
    with viewing(tmp_path) as server:
        assert feed_when(server, 1)["runs"][0]["state"] == "done"


def test_runs_stand_side_by_side(server: Server, rows: list[dict[str, Any]]) -> None:
    done = [row for row in rows if row["state"] == "done"]
    side = ask(server, f"details?of={done[0]['id']},{done[3]['id']}").json
    assert [one["seeds"] for one in side["subjects"]] == [[0], [0]]
    assert side["settings"] == [["defense.epsilon", ["0.01", "0.1"]]]
    by_name = {row["name"]: row for block in side["risks"] for row in block["rows"]}
    robust = by_name["robust_accuracy"]
    assert (robust["harm"], robust["decides"]) == ("lower", True)
    for row, cell in zip((done[0], done[3]), robust["cells"], strict=True):
        (listed,) = [one for one in row["metrics"] if one[0] == "robust_accuracy"]
        assert [one["value"] for one in cell["victims"]] == [listed[2][1], listed[3][1]]
        assert all(one["interval"].startswith("[") for one in cell["victims"])
        assert cell["change"]["interval"].startswith("[")
        assert cell["change"]["word"] in ("better", "worse", "≈")


def test_cells_stand_side_by_side_over_their_seeds(server: Server, rows: list[dict[str, Any]]) -> None:
    cells = list(dict.fromkeys(row["cell"] for row in rows if row["state"] == "done"))
    side = ask(server, f"details?of={','.join(cells)}").json
    assert [one["seeds"] for one in side["subjects"]] == [[0, 1, 2], [0, 1, 2]]
    (row,) = [row for block in side["risks"] for row in block["rows"] if row["name"] == "fidelity"]
    values = [one[2][0] for run in rows if run["cell"] == cells[0] for one in run["metrics"] if one[0] == "fidelity"]
    assert row["cells"][0]["victims"][0]["value"].startswith(f"{100 * sum(values) / 3:.2f} ± ")
    assert row["cells"][0]["victims"][0]["interval"] == "3 seeds"
    verdicts = {one["cells"][0]["change"]["word"] for block in side["risks"] for one in block["rows"] if one["decides"]}
    assert verdicts == {"too few seeds"}


def test_a_run_has_its_files_evidence_log_and_figures(tmp_path: Path) -> None:
    run = membership(tmp_path)
    run.log.write_text("".join(f"line {i}\n" for i in range(20_000)))
    with viewing(tmp_path) as server:
        name = feed_when(server, 1)["runs"][0]["id"]
        found = ask(server, f"details?of={name}").json
        assert {"config.yaml", "metrics.json", "evidence.npz", "run.log"} <= {one["name"] for one in found["files"]}
        assert found["log"].endswith("line 19999\n")
        assert found["log"].startswith("line ")
        assert len(found["log"]) <= 1 << 16
        assert ask(server, file_of(name, "config.yaml")).content == (run.folder / "config.yaml").read_bytes()
        arrays = {one["name"]: one for one in ask(server, f"evidence?of={name}").json}
        assert arrays["defended.membership_inference.members"]["shape"] == [400]
        kept = ask(server, file_of(name, "evidence.npz"))
        assert kept.headers["Content-Type"] == "application/octet-stream"
        assert kept.headers["Content-Disposition"].startswith("attachment")
        offered = ask(server, f"figures?of={name}").json
        assert any(one["kind"] == "roc" for one in offered)
        drawn = ask(server, f"figure?of={name}&n=0")
        assert drawn.text.startswith("<svg")
        assert "sandbox" in drawn.headers["Content-Security-Policy"]
        (run.folder / "evidence.npz").write_bytes(b"PK nothing")
        broken = ask(server, f"evidence?of={name}")
        assert (broken.status, "another checksum" in broken.text) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "../seed=1/metrics.json",
        "/etc/passwd",
        "..",
        ".",
        "",
        "secret",
        "inner",
        "link.yaml",
        "out.log",
        "config.yaml\0",
    ],
)
def test_nothing_but_a_runs_own_files_can_be_had(tmp_path: Path, path: str) -> None:
    root = tmp_path / "outputs"
    run, other = (write(root, typical(seed), seed=seed).folder for seed in (0, 1))
    outside = tmp_path / "secret"
    outside.write_text("nobody's business")
    (run / "link.yaml").symlink_to(outside)
    (run / "out.log").symlink_to(other / "metrics.json")
    (run / "inner").mkdir()
    with viewing(root) as server:
        row = next(one for one in feed_when(server, 2)["runs"] if one["seed"] == 0)
        answer = ask(server, file_of(row["id"], path))
        assert answer.status == 404
        assert "business" not in answer.text
        listed = ask(server, f"details?of={row['id']}").json["files"]
        assert not {"link.yaml", "out.log", "inner"} & {one["name"] for one in listed}


def test_a_link_out_of_the_folder_is_no_run(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    inside, outside = write(root, typical(0), seed=0).folder, write(elsewhere, typical(1), seed=1).folder
    inside.with_name("seed=1").symlink_to(outside)
    with viewing(root) as server:
        found = feed_when(server, 1)["runs"]
        assert [row["seed"] for row in found] == [0]
        # A run that was there, and whose folder was replaced by a link, gives nothing either.
        (outside / "notes.txt").write_text("nobody's business")
        inside.rename(tmp_path / "moved")
        inside.symlink_to(outside)
        answer = ask(server, file_of(found[0]["id"], "notes.txt"))
        assert answer.status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"])
def test_another_name_of_this_machine_is_refused(server: Server, host: str) -> None:
    answer = ask(server, "feed?since=0", host=host.format(port=server.server_port))
    assert (answer.status, b"runs" in answer.content) == (403, False)
    assert ask(server, "feed?since=0", host=f"localhost:{server.server_port}").status == 200


@pytest.mark.parametrize("path", ["/", "/feed", "/wrong/feed?since=0", "//x/", "/%2e%2e/feed", "*"])
def test_without_the_secret_nothing_is_told(server: Server, path: str) -> None:
    assert ask(server, path if path[0] == "/" else f"/{path}").status == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing", 404),
        ("feed/more", 404),
        ("feed?since=x", 400),
        ("details", 404),
        ("details?of=r0", 404),
        ("details?of=" + ",".join(f"r{i}" for i in range(13)), 400),
        ("file?of=r0&name=config.yaml", 404),
        ("figure?of=r0&n=0", 404),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_so(server: Server, path: str, status: int) -> None:
    assert ask(server, path).status == status


def test_it_only_reads(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "feed?since=0", method=method).status == 501
    assert ask(server, "feed?since=0", method="HEAD").content == b""


def test_the_page_asks_nothing_of_a_network_and_runs_only_its_own_script(server: Server) -> None:
    page = ask(server, "")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.count("'sha256-") == 2
    assert "unsafe" not in policy
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert "https://" not in page.text
    assert "innerHTML" not in page.text
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == HOST == "127.0.0.1"


def test_a_port_that_is_taken_is_the_users_mistake(server: Server, folder: Path) -> None:
    with pytest.raises(UsageError, match=f"`--port` {server.server_port} cannot be had"):
        Server(Live([folder]), server.server_port)
