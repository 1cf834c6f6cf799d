"""How many jobs a sweep asks for, counted before any of them is made; and its words as Hydra has to read them."""

import math
from collections.abc import Collection, Sequence
from typing import Any

from amulet_cli.base.errors import UsageError
from amulet_cli.config.arguments import key_of

MOST_JOBS = 100_000
"""Of one command; composing them takes minutes already."""


def check_size(overrides: Sequence[Any]) -> None:
    """Raise `UsageError` if Hydra's parsed overrides ask for no job at all, or for too many.

    An interval is left to Hydra, which refuses it: it has no first value.
    """
    jobs = 1
    for override in overrides:
        if not (override.is_sweep_override() and override.is_discrete_sweep()):
            continue
        count = _values(override)
        if count == 0:
            raise UsageError(
                f"`{override.input_line}` asks for no run: it has no value", where=f"`{override.input_line}`"
            )
        jobs *= min(count, 10**18)
        if jobs > MOST_JOBS:
            raise UsageError(
                f"this command asks for {f'{jobs:,}' if jobs < 10**15 else 'endlessly many'} runs",
                where=f"`{override.input_line}`",
                expected=f"at most {MOST_JOBS:,} at once",
            )


def beside_swept_groups(words: Sequence[str], swept: Collection[str]) -> list[str]:
    """The same sweep, in which a setting of an option out of several is a choice of one value.

    Hydra first composes a configuration without what is swept over, and refuses there a setting that only the swept
    options have. What is swept it leaves out.

    >>> beside_swept_groups(["attack=evasion_pgd,apgd", "attack.epsilon=0.02", "epochs=3"], ["attack"])
    ['attack=evasion_pgd,apgd', 'attack.epsilon=choice(0.02)', 'epochs=3']
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()

    def of_swept_option(word: str) -> bool:
        group, dot, _ = key_of(word).partition(".")
        return (
            bool(dot) and group in swept and word[0] not in "+~" and not parser.parse_override(word).is_sweep_override()
        )

    def chosen(word: str) -> str:
        key, _, value = word.partition("=")
        return f"{key}=choice({value or repr('')})"

    return [chosen(word) if of_swept_option(word) else word for word in words]


def _values(override: Any) -> float:
    from hydra.core.override_parser.types import RangeSweep

    swept = override.value()
    if not isinstance(swept, RangeSweep):
        return sum(1 for _ in override.sweep_iterator())
    start, stop, step = swept.start, swept.stop, swept.step
    if start is None or stop is None or step == 0 or any(math.isnan(end) for end in (start, stop, step)):
        raise UsageError(
            f"`{override.input_line}` is no range",
            where=f"`{override.input_line}`",
            expected="range(start,stop) or range(start,stop,step), with a step that is not 0",
        )
    if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
        return max(0, -((start - stop) // step))
    steps = (float(stop) - float(start)) / float(step)
    return max(0, math.ceil(steps)) if math.isfinite(steps) else math.inf if steps > 0 else 0
