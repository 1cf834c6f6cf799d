"""Measure and print.

    python -m benchmarks.speed [--parts attacks training commands] [--repeats 5]

One thread, warm, processor seconds; what is compared takes turns in one process, so that other load weighs on all of
it. Amulet's PGD leaves out a record once the model is wrong on it, which the others do not: at the smaller budget
hardly a record falls, and the work is the same.
"""

import argparse
import platform
from collections.abc import Callable, Iterable
from itertools import groupby

import torch

from amulet.models.arithmetic import fast_dtype
from amulet_cli.execution.environment import processor
from benchmarks.speed import attacks, commands, training
from benchmarks.speed.timing import Row

PARTS: dict[str, Callable[[int], Iterable[Row]]] = {"attacks": attacks.measured, "training": training.measured}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=[*PARTS, "commands"], choices=[*PARTS, "commands"])
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    fast = str(fast_dtype(torch.device("cpu"))).removeprefix("torch.")
    print(f"{processor()}, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"fast number format: {fast}; one thread; medians of {asked.repeats} after a turn that does not count\n")
    for part in asked.parts:
        if part in PARTS:
            for work, found in groupby(PARTS[part](asked.repeats), key=lambda row: row.work):
                _print(work, list(found))
        else:
            for spent in commands.measured():
                print(f"{spent.command:<34}{spent.processor:>8.2f} s processor{spent.clock:>8.2f} s clock", flush=True)


def _print(work: str, found: list[Row]) -> None:
    print(f"{work}: ours {found[0].ours:.3f} s")
    for row in found:
        print(f"  {row.ratio:>6.2f} times ours   {row.other:<52}{row.note}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
