"""How long after `amulet view` is started its page knows a number of results: read for the first time, and again.

The processor time is the viewer's alone, with its helpers, from its start to its end.

python -m benchmarks.viewer --results 2000

With a Chromium on the machine also how long until the page shows the first rows, and until it shows that all are read.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.helpers.chromium import CHROMIUM, Page, chromium
from tests.helpers.made_up_results import choices, typical, with_records, write

SEEDS = 10


def make(folder: Path, results: int) -> None:
    """Results as a sweep leaves them, with the influence of records: 28 kB each."""
    for i in range(results // SEEDS):
        for seed in range(SEEDS):
            epsilon = round(0.001 * (i + 1), 3)
            made = with_records(typical(seed, epsilon))
            write(folder, made, seed=seed, chosen=choices(), overrides={"defense.epsilon": epsilon})


@contextmanager
def viewer(folder: Path, cache: Path) -> Iterator[str]:
    """The command, as a user gives it, and the address that it prints."""
    words = [sys.executable, "-m", "amulet_cli.cli", "view", str(folder), "--no-open"]
    environment = {**os.environ, "AMULET_DATA": str(cache)}
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(2)
        process.wait()
        process.stdout.close()


def processor() -> float:
    """Seconds that all processes which this one has waited for took of a processor; and those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_feed(folder: Path, cache: Path, results: int) -> list[float]:
    """Seconds from the start of the command until its feed has the first rows, and all."""
    began, first, revision, known = time.perf_counter(), 0.0, 0, set[str]()
    used = processor()
    with viewer(folder, cache) as address:
        parts = urlsplit(address)
        while True:
            connection = HTTPConnection(parts.netloc)
            connection.request("GET", f"{parts.path}feed?since={revision}")
            found = json.loads(connection.getresponse().read())
            connection.close()
            revision = found["revision"]
            known |= {row["id"] for row in found["runs"]}
            first = first or (time.perf_counter() - began if known else 0.0)
            if not found["reading"]:
                assert len(known) == results
                every = time.perf_counter() - began
                break
            time.sleep(0.05)
    return [first, every, processor() - used]


def in_browser(page: Page, folder: Path, cache: Path, results: int) -> list[float]:
    """Seconds from the start of the command until the page shows the first rows, and that all are read."""
    began, used = time.perf_counter(), processor()
    with viewer(folder, cache) as address:
        page.open(address)
        page.until("document.querySelector('#body tr')")
        first = time.perf_counter() - began
        page.until(f"$('status').textContent === '{results:,} runs: {results:,} done'")
        every = time.perf_counter() - began
        page.open("about:blank")
    return [first, every, processor() - used]


def main() -> None:
    """Print the medians of some repetitions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="results that are there, instead of made-up ones")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = asked.folder or scratch / "outputs"
        if asked.folder is None:
            make(folder, asked.results // SEEDS * SEEDS)
        results = sum(1 for _ in folder.rglob("metrics.json"))

        def tell(what: str, times: list[list[float]]) -> None:
            first, every, used = map(statistics.median, zip(*times, strict=True))
            seconds = f"first rows after {first:.2f} s, all after {every:.2f} s, processor {used:.2f} s"
            print(f"{what}: {results} results, {seconds}", flush=True)

        caches = [scratch / f"cache{i}" for i in range(asked.repeats)]
        for what in ("first viewer, its feed", "next viewer, its feed"):
            tell(what, [by_feed(folder, cache, results) for cache in caches])
        if CHROMIUM is None:
            return
        caches = [scratch / f"cache{i} of Chromium" for i in range(asked.repeats)]
        with chromium(scratch / "profile") as page:
            for what in ("first viewer, in Chromium", "next viewer, in Chromium"):
                tell(what, [in_browser(page, folder, cache, results) for cache in caches])


if __name__ == "__main__":
    main()
