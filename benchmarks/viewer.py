"""How long a viewer takes until it knows a number of results: read for the first time, and by the next viewer.

python -m benchmarks.viewer --results 2000
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from amulet_cli.views.viewer.live import Live
from tests.helpers.made_up_results import choices, typical, with_records, write

SEEDS = 10


def make(folder: Path, results: int) -> None:
    """Results as a sweep leaves them, with the influence of records: 28 kB each."""
    for i in range(results // SEEDS):
        for seed in range(SEEDS):
            epsilon = round(0.001 * (i + 1), 3)
            made = with_records(typical(seed, epsilon))
            write(folder, made, seed=seed, chosen=choices(), overrides={"defense.epsilon": epsilon})


def seconds(folder: Path, results: int) -> float:
    """From the start of a viewer until its feed has all results."""
    began, revision, known = time.perf_counter(), 0, set[str]()
    live = Live([folder])
    live.start()
    try:
        while True:
            found = json.loads(live.since(revision))  # as the page asks
            revision = found["revision"]
            known |= {row["id"] for row in found["runs"]}
            if not found["reading"]:
                assert len(known) == results
                return time.perf_counter() - began
            time.sleep(0.15)
    finally:
        live.stop()


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=2000)
    count = parser.parse_args().results // SEEDS * SEEDS
    with tempfile.TemporaryDirectory() as name:
        os.environ["AMULET_DATA"] = str(Path(name) / "cache")
        folder = Path(name) / "outputs"
        make(folder, count)
        for what in ("first viewer", "next viewer", "next viewer"):
            print(f"{what}: {count} results in {seconds(folder, count):.2f} s", flush=True)


if __name__ == "__main__":
    main()
