"""What a job pays for the shared store: loading, saving and locking, per file and per job.

    python benchmarks/store.py [FOLDER] [--repeats 50]

Without a folder, models of the size of census' LinearNet in a temporary folder; with one, a file system to try: the
store's own files there are not touched. Milliseconds by the clock, medians.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from amulet.training.store import Stored
from amulet_cli.results.store import DiskStore

SIZES = {"a LinearNet": 72_714, "a small CNN": 288_746, "a ResNet18": 11_173_962}
"""Weights."""


def median(action: Callable[[int], object], repeats: int) -> float:
    """Milliseconds."""
    took: list[float] = []
    for number in range(repeats):
        began = time.perf_counter()
        action(number)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def held(store: DiskStore, number: int) -> None:
    """Take a lock and give it back."""
    with store.lock(f"lock-{number}"):
        pass


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--repeats", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="amulet-store-") as folder:
        store = DiskStore(folder)
        print("| | size | save | load, verified |")
        print("|---|---:|---:|---:|")
        for name, weights in SIZES.items():
            stored = Stored({"weight": torch.zeros(weights)}, {"epochs": 10})
            repeats = asked.repeats if weights < 1e6 else 5
            save = median(lambda number, s=stored: store.save(f"k-{number}", s), repeats)
            load = median(lambda number: store.load(f"k-{number}"), repeats)
            print(f"| {name} | {weights * 4 / 1e6:.1f} MB | {save:.1f} ms | {load:.1f} ms |")
        lock = median(lambda number: held(store, number), asked.repeats)
        print(f"\na lock that is free: {lock:.2f} ms")


if __name__ == "__main__":
    main()
