"""Which defences can be combined, and which pairs are known to work against each other."""

from collections.abc import Sequence
from itertools import combinations

from amulet.core.errors import IncompatibleError
from amulet.training.defense import Defense

_OWNERSHIP_AND_TRAINING = (
    "Szyller and Asokan (AAAI 2023) found conflicts between verifying a model's ownership and {other}: each can "
    "weaken the other. Both own risks are reported; see whether both defences still work"
)
_KNOWN = {
    frozenset({"unauth_model_ownership", "evasion"}): _OWNERSHIP_AND_TRAINING.format(other="adversarial training"),
    frozenset({"unauth_model_ownership", "membership_inference"}): _OWNERSHIP_AND_TRAINING.format(
        other="differentially private training"
    ),
}
"""By the two risks that the defences are made for."""


def check_defenses(defenses: Sequence[Defense]) -> list[str]:
    """Warnings about a set of defences.

    Raises:
        IncompatibleError: one is chosen twice, or a pair of them says that it cannot work together.
    """
    warnings = [caution for defense in defenses for caution in defense.warnings()]
    for first, second in combinations(defenses, 2):
        names = type(first).__name__, type(second).__name__
        if type(first) is type(second):
            raise IncompatibleError(f"{names[0]} is chosen twice; choose another second defence, or none")
        reason = first.clashes(second) or second.clashes(first)
        if reason:
            raise IncompatibleError(f"{names[0]} and {names[1]} cannot work together: {reason}")
        known = _KNOWN.get(frozenset({first.risk, second.risk}))
        if known:
            warnings.append(f"{names[0]} with {names[1]}: {known}")
        if first.stage == second.stage == "before":
            warnings.append(
                f"{names[1]} sees the training records as {names[0]} left them and may undo what it did, such as "
                "remove the records that it added; swap the two to see the other order"
            )
    return warnings
