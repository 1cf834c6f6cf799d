"""Where numbers come from: records, machines and the settings of training, as reports name them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from amulet_cli.base.format_numbers import plural
from amulet_cli.base.serialize import as_text
from amulet_cli.results.result import Result

TRAINING = ("epochs", "batch_size", "optimizer._target_", "optimizer.lr", "precision", "adversary_fraction")
"""The plain settings of training, as a flat configuration has them."""


def environments(runs: Sequence[Result]) -> list[tuple[str, str]]:
    """Every entry of the environments, with the number of runs where they differ."""
    found: list[tuple[str, str]] = []
    for key in dict.fromkeys(key for run in runs for key in run.environment):
        count = Counter(as_text(run.environment.get(key)) or "not recorded" for run in runs)
        several = len(count) > 1
        found.append((key, ", ".join(f"{word} ({plural(n, 'run')})" if several else word for word, n in count.items())))
    return found


def split_sizes(run: Result) -> dict[str, int]:
    """How many records the victim and the adversary have, and how many are for tests; what a result says of these."""
    split: dict[str, Any] = run.manifest.get("split") or {}
    sizes = {name: (split.get(name) or {}).get("records") for name in ("victim", "adversary", "test")}
    return {name: size for name, size in sizes.items() if isinstance(size, int)}
