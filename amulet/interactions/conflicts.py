"""Which defences can be combined, and which pairs are known to work against each other."""

from collections.abc import Sequence

from amulet.core.errors import Refused
from amulet.training.defense import Defense


def check_defenses(defenses: Sequence[Defense]) -> list[str]:
    """Warnings about a set of defences; `Refused` if they cannot be combined."""
    names = [type(defense).__name__ for defense in defenses]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"{name} is chosen twice; as second_defense choose another one, or none")
    return [caution for defense in defenses for caution in defense.cautions()]
