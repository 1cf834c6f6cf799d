"""Does harm to Amulet and prints how much was tried, what was lost, and how to repeat it.

python -m tests.helpers.torture [--words 300] [--bits 300] ... [--seed 0]; 0 leaves a part out
"""

import argparse
import sys
import time
from collections.abc import Callable

from tests.helpers.torture.bits import changed_bits
from tests.helpers.torture.common import Tried, warm
from tests.helpers.torture.downloads import bad_servers
from tests.helpers.torture.kills import killed_launchers, killed_sweeps
from tests.helpers.torture.limits import scarce
from tests.helpers.torture.soak import soaked
from tests.helpers.torture.words import wrong_files, wrong_words

PARTS: dict[str, tuple[Callable[[int, int], Tried], int]] = {
    "kills": (killed_sweeps, 40),  # those that fork go first: the process is small then
    "limits": (scarce, 20),
    "soak": (soaked, 60),
    "launchers": (killed_launchers, 10),
    "servers": (bad_servers, 60),
    "bits": (changed_bits, 300),
    "words": (wrong_words, 200),
    "files": (wrong_files, 100),
}
_FORKING = {"kills", "limits", "soak"}


def main() -> int:
    """Do all of it; the exit code is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (function, count) in PARTS.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=function.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    asked = parser.parse_args()
    failures = 0
    if _FORKING & set(asked.only):
        warm()
    for name, (function, _) in PARTS.items():
        count, began = int(getattr(asked, name)), time.monotonic()
        if not count or name not in asked.only:
            continue
        tried = function(count, asked.seed)
        failures += len(tried.lost)
        took = time.monotonic() - began
        figures = f"tried {tried.times:5}  lost {len(tried.lost):3}  in {took:.0f} s"
        sys.stdout.write(f"{name:9} {figures}{'; ' * bool(tried.note)}{tried.note}\n")
        for what, how in tried.lost:
            sys.stdout.write(f"       {what}\n         {how}\n")
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
