"""What can be assessed on a model that was trained elsewhere, with warnings about the numbers."""

from collections.abc import Callable, Sequence

from amulet.assessment.risks import risk_of
from amulet.core.errors import IncompatibleError, SettingError
from amulet.core.intervals import clopper_pearson
from amulet.datasets.records import Records
from amulet.training.defense import Defense
from amulet.training.pretrained import Given
from amulet.training.victim import Victim

_HOW = (
    "how the checkpoint was trained is unknown. If the model, optimizer, epochs and batch_size of this command made "
    "it, say so: recipe=given"
)
_HOW_OTHERS = (
    "how the {noun} was trained is unknown. Give the estimator itself (in memory, or a .skops file), of which clones "
    "are fitted, or take an attack that needs no other models (docs/access.md)"
)
_WHICH = "{risk} of the {noun} itself can be judged only where it is known which records it was trained on. {say}"
_SAY = "If it was the training records of this data set, say so: members=given"
_SAY_OF_ANSWERS = "If a column says so, name it: dataset.member=COLUMN"
_CHANGES = (
    "undefended: the {noun} may answer otherwise by now: these numbers hold for the time when it was asked. force=true "
    "asks it again"
)

_RECORDS = (
    "undefended: what the {noun} was trained on is unknown. If test records or the adversary's were among it, "
    "test_accuracy and robust_accuracy are too high, and the adversary knows too much; train it on other records"
)
_SHARED = (
    "undefended: the records of the adversary are among those that the {noun} was trained on, for the training records "
    "are known to be: where they help an attack it finds more than an adversary with records of its own"
)
_ANEW = (
    "undefended: {risk} is measured on models trained again by the recipe of this command: it says what that recipe "
    "gives away, not what the {noun} does"
)


def check_pretrained(
    pretrained: Given,
    risks: Sequence[str],
    defenses: Sequence[Defense],
    *,
    adapted: bool,
    asked: bool = True,
    trains_none: Callable[[str], bool] = lambda _: False,
) -> list[str]:
    """Warnings about assessing `risks` with a given undefended victim.

    Args:
        given: the weights.
        risks: the risks to measure, but for those that are measured on the given model as it is.
        defenses: the defences of the defended victim.
        adapted: does a defence need another architecture than the given one?
        asked: can it be asked about any record?
        trains_none: whether the attack on a risk could be run on the given model, if its members were known.

    Raises:
        IncompatibleError: something would train the victim again with an unknown recipe, or needs its training records.
    """
    noun = pretrained.noun
    how = (_HOW if noun == "checkpoint" else _HOW_OTHERS).format(noun=noun)
    for defense in defenses:
        name = type(defense).__name__
        if defense.stage == "after":
            raise IncompatibleError(
                f"{name} verifies by the records that the victim was trained on, and a {noun} does not tell them; "
                f"leave out {noun} to have the victim trained here"
            )
        if not pretrained.recipe_known:
            raise IncompatibleError(f"{name} has to train the defended victim, and {how}")
    retraining = [risk_of(name) for name in risks if risk_of(name).retrains]
    if retraining and not pretrained.recipe_known:
        risk = retraining[0]
        if trains_none(risk.name) and not pretrained.members_known:
            raise IncompatibleError(_WHICH.format(noun=noun, risk=risk.title, say=_SAY if asked else _SAY_OF_ANSWERS))
        raise IncompatibleError(f"{risk.title} trains the victim again on other records, and {how}")
    warnings = [] if pretrained.members_known else [_RECORDS.format(noun=noun)]
    if pretrained.members_known and asked:
        warnings.append(_SHARED.format(noun=noun))
    warnings += [_ANEW.format(noun=noun, risk=risk.title) for risk in retraining]
    if not pretrained.lasting:
        warnings.append(_CHANGES.format(noun=noun))
    if defenses:
        warnings.append(
            "the defended victim is trained here on its part of the training split, the undefended one is the "
            f"{noun}: the change between them is the defence's doing only as far as both learned the same. Compare "
            f"with a run without {noun}"
        )
    if adapted:
        warnings.append(
            f"the defence needs another architecture than the {noun} has: the defended victim differs in that too"
        )
    return warnings


def check_accuracy(pretrained: Given, victim: Victim, records: Records) -> list[str]:
    """Compare a checkpoint's accuracy on test records with the one that its owner states.

    A checkpoint does not say in which order and on which scale its inputs are. With others it still answers, worse, and
    everything measured on it would be about another model.

    Returns:
        What of the checkpoint was taken, where there was a choice; a warning where no accuracy is stated.

    Raises:
        SettingError: the stated accuracy is outside the 99 % interval of the one found (Clopper and Pearson, 1934).
    """
    warnings: list[str] = []
    if taken := victim.trained.report.get("taken"):
        warnings.append(f"undefended: of the {pretrained.noun} was taken {taken}")
    right = int((victim.logits(records).argmax(dim=1) == records.y).sum())
    found, majority = right / len(records), records.y.bincount().max().item() / len(records)
    low, high = clopper_pearson(right, len(records), 0.99)
    here = f"{found:.3f} of {len(records):,} test records right (always answering the majority class: {majority:.3f})"
    if pretrained.accuracy is None:
        near = ". It is hardly better than that" if low <= majority else ""
        said = (
            f"undefended: nothing shows that the {pretrained.noun} reads the inputs in this order and on "
            f"this scale (`columns` in metrics.json). It has {here}{near}. State the accuracy that you know: "
            f"{_option(pretrained)}=0.85{'' if pretrained.noun == 'checkpoint' else ', for a command model.accuracy'}"
        )
        return [*warnings, said]
    if not low <= pretrained.accuracy <= high:
        raise SettingError(
            f"`{_option(pretrained)}` is {pretrained.accuracy:g}, but the {pretrained.noun} has {here}: its "
            "inputs have another order or scale, or these are other records. Give the data in the encoding that it was "
            "trained on"
        )
    return warnings


def _option(given: Given) -> str:
    return "checkpoint_accuracy" if given.noun == "checkpoint" else "accuracy"
