"""What can be assessed on a model that was trained elsewhere, with warnings about the numbers."""

from collections.abc import Sequence

from amulet.assessment.risks import risk_of
from amulet.core.errors import IncompatibleError
from amulet.training.defense import Defense
from amulet.training.pretrained import Pretrained

_HOW = (
    "how the checkpoint was trained is unknown. If it was by the model, optimizer, epochs and batch_size of this "
    "command, say so: recipe=given"
)

_RECORDS = (
    "undefended: what the checkpoint was trained on is unknown. If test records or the adversary's were among it, "
    "test_accuracy and robust_accuracy are too high, and the adversary knows too much; train it on other records"
)
_ANEW = (
    "undefended: {risk} is measured on models trained again by the recipe of this command: it says what that recipe "
    "gives away, not what the checkpoint does"
)


def check_pretrained(
    pretrained: Pretrained, risks: Sequence[str], defenses: Sequence[Defense], *, adapted: bool
) -> list[str]:
    """Warnings about assessing `risks` with a given undefended victim.

    Args:
        given: the weights.
        risks: the risks to measure.
        defenses: the defences of the defended victim.
        adapted: does a defence need another architecture than the given one?

    Raises:
        IncompatibleError: something would train the victim again with an unknown recipe, or needs its training records.
    """
    for defense in defenses:
        name = type(defense).__name__
        if defense.stage == "after":
            raise IncompatibleError(
                f"{name} verifies by the records that the victim was trained on, and a checkpoint does not tell them; "
                "leave out checkpoint to have the victim trained here"
            )
        if not pretrained.recipe_known:
            raise IncompatibleError(f"{name} has to train the defended victim, and {_HOW}")
    retraining = [risk_of(name) for name in risks if risk_of(name).retrains]
    if retraining and not pretrained.recipe_known:
        raise IncompatibleError(f"{retraining[0].title} trains the victim again on other records, and {_HOW}")
    warnings = [_RECORDS, *(_ANEW.format(risk=risk.title) for risk in retraining)]
    if defenses:
        warnings.append(
            "the defended victim is trained here on its part of the training split, the undefended one is the "
            "checkpoint: the change between them is the defence's doing only as far as both learned the same. Compare "
            "with a run without checkpoint"
        )
    if adapted:
        warnings.append(
            "the defence needs another architecture than the checkpoint has: the defended victim differs in that too"
        )
    return warnings
