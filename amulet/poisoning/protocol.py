"""How poisoning is assessed: the victim trains on poisoned records, and the test split gets the trigger."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.errors import SettingError
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for, predict
from amulet.poisoning.attacks import BadNets, Poisoned, PoisoningAttack, Trigger
from amulet.poisoning.metrics import PoisoningEvidence, attack_success_rate, measure
from amulet.training.base_recipe import Trained
from amulet.training.defense import Defense
from amulet.training.parallel.memory_budget import portion
from amulet.training.removal import removal_in
from amulet.training.victim import DataSplits, Victim

__all__ = ["aftermath", "assess", "check", "check_splits", "default_attack", "measure"]

_POISONED = "on poisoned records"
_CEILING = 0.98  # attack success of an undefended model above which it tells little of a defence


def default_attack(defenses: Sequence[Defense]) -> PoisoningAttack:
    """BadNets with its defaults, whatever the defence."""
    return BadNets()


def check(attack: PoisoningAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: does the target exist, are there enough records to poison, does the trigger fit?"""
    if data is None:
        return
    if attack.target >= data.num_classes:
        raise SettingError(f"`attack.target` must be a class, 0 to {data.num_classes - 1}, got {attack.target}")
    for one in _at_rates(attack):
        one.count(data.train.y)
    attack.triggers_for(data.train, data.feature_names)
    attack.check(data)


def check_splits(attack: PoisoningAttack, splits: DataSplits) -> None:
    """`IncompatibleError` if the victim has too few records of other classes for a rate."""
    for one in _at_rates(attack):
        one.count(splits.victim_records.y)


def _at_rates(attack: PoisoningAttack) -> list[PoisoningAttack]:
    """The attack, and the same at every other rate of its curve, in ascending order."""
    return [attack, *(attack.changed(rate=rate, rate_curve=None) for rate in sorted(set(attack.rate_curve or ())))]


def assess(victim: Victim, attack: PoisoningAttack, splits: DataSplits) -> PoisoningEvidence:
    """Poison the victim's records, train on them with the victim's recipe, and put the trigger on every test record.

    The adversary chooses its triggers with its own records.
    """
    test = splits.test_records
    triggers, poisoned = _poisoned(victim, attack, splits)
    _verify(poisoned, victim, attack, triggers)
    deceived = victim.on(poisoned.records, _POISONED)
    answers, before = (
        torch.stack([_triggered(one.model, test, trigger) for trigger in triggers]) for one in (deceived, victim)
    )
    labels = test.y.cpu()
    presence = [
        {"victim": _share(trigger.present(victim.records)), "test": _share(trigger.present(test))}
        for trigger in triggers
    ]
    trained = deceived.trained
    manifest: dict[str, Any] = {
        "target": attack.target,
        "rate": attack.rate,
        "poisoned_records": len(poisoned.ids),
        "training_records": len(victim.records),
        "realised_rate": len(poisoned.ids) / len(victim.records),
        "triggers": [trigger.name for trigger in triggers],
        "in_clean_records": presence,
        "attack_success_rate_by_trigger": [attack_success_rate(row, labels, attack.target) for row in answers],
        "records_digest": poisoned.records.digest[:16],
        "training": {
            name: value for name, value in trained.report.items() if name not in ("losses", "seconds", "warnings")
        },
    }
    removal = _removal(poisoned, trained)
    if removal:
        manifest["removal"] = removal
    return PoisoningEvidence(
        ids=test.ids,
        labels=labels,
        target=attack.target,
        clean_answers=deceived.logits(test).argmax(dim=1),
        triggered_answers=answers,
        unpoisoned_clean_answers=victim.logits(test).argmax(dim=1),
        unpoisoned_triggered_answers=before,
        poisoned_ids=poisoned.ids,
        poisoned_trigger=poisoned.which,
        curve=_curve(victim, attack, triggers, splits),
        manifest=manifest,
        warnings=(
            *_warnings(victim, attack, triggers, presence, before, labels),
            *_unsuited(victim, attack, answers, before, labels),
            *_training_warnings(victim, deceived),
        ),
    )


def _curve(
    victim: Victim, attack: PoisoningAttack, triggers: Sequence[Trigger], splits: DataSplits
) -> dict[str, Tensor]:
    """By rate, the answers to triggered records (t, n) of a model trained with that share of poisoned records."""
    rates, found = _at_rates(attack)[1:], dict[str, Tensor]()
    at_once = portion(victim.recipe, victim.records, [torch.arange(len(victim.records))]) if rates else 1
    for start in range(0, len(rates), at_once):
        part = rates[start : start + at_once]
        again = [victim.on(_poisoned(victim, one, splits, triggers)[1].records) for one in part]
        label = f"train {victim.name} {_POISONED} at {len(part)} other rates"
        made = victim.recipe.produce_many([one.records for one in again], [one.stream for one in again], label)
        for one, trained in zip(part, made, strict=True):
            answers = [_triggered(trained.model, splits.test_records, trigger) for trigger in triggers]
            found[f"{one.rate:g}"] = torch.stack(answers)
    return found


def aftermath(victim: Victim, attack: PoisoningAttack, splits: DataSplits) -> Victim:
    """The victim that trained on the poisoned records."""
    return victim.on(_poisoned(victim, attack, splits)[1].records, _POISONED)


def _poisoned(
    victim: Victim, attack: PoisoningAttack, splits: DataSplits, triggers: Sequence[Trigger] = ()
) -> tuple[Sequence[Trigger], Poisoned]:
    triggers = triggers or attack.triggers_for(splits.adversary_records, splits.data.feature_names)
    return triggers, attack.poison(victim.records, triggers, splits.attack_stream("poisoning"))


def _triggered(model: nn.Module, records: Records, trigger: Trigger) -> Tensor:
    """(n,) a model's classes for records with the trigger, which are made one batch at a time."""
    size = batch_size_for(records.shape)
    batches = (records.batch(slice(start, start + size)) for start in range(0, len(records), size))
    return torch.cat([predict(model, part.replaced(x=trigger.on(part.x))).argmax(dim=1) for part in batches])


def _share(mask: Tensor) -> float:
    return mask.double().mean().item()


def _verify(poisoned: Poisoned, victim: Victim, attack: PoisoningAttack, triggers: Sequence[Trigger]) -> None:
    """Verify that exactly the requested number of records changed, none of the target class, all with a trigger."""
    before, after = victim.records, poisoned.records
    size = batch_size_for(before.shape)
    parts = zip(before.x.split(size), after.x.split(size), strict=True)
    changed = torch.cat([(now != was).flatten(1).any(dim=1) for was, now in parts]) | (after.y != before.y)
    chosen = torch.isin(before.ids, poisoned.ids.to(before.ids.device))
    marked = torch.stack([trigger.present(after.take(chosen)) for trigger in triggers]).any(dim=0)
    if (
        len(poisoned.ids) != attack.count(before.y)
        or bool((changed != chosen).any())
        or bool((before.y[chosen] == attack.target).any())
        or not bool(marked.all())
    ):
        raise RuntimeError(f"{attack!r} did not poison what it was asked to: {int(changed.sum())} records changed")


def _removal(poisoned: Poisoned, trained: Trained) -> dict[str, float]:
    """How many of the poisoned records defences took out, beside what chance would have."""
    removal = removal_in(trained.arrays)
    if removal is None:
        return {}
    ids, removed = removal
    bad = np.isin(ids, poisoned.ids.numpy())
    hit = int((bad & removed).sum())
    return {
        "removed": int(removed.sum()),
        "poisoned_removed": hit,
        "poisoned_kept": int(bad.sum()) - hit,
        "share_of_poisoned_removed": hit / max(int(bad.sum()), 1),
        "share_removed": float(removed.mean()),
    }


def _warnings(
    victim: Victim,
    attack: PoisoningAttack,
    triggers: Sequence[Trigger],
    presence: Sequence[dict[str, float]],
    before: Tensor,
    labels: Tensor,
) -> list[str]:
    found: list[str] = []
    for trigger, share in zip(triggers, presence, strict=True):
        if max(share.values()) > 0:
            found.append(
                f"the trigger ({trigger.name}) is in {share['victim']:.2%} of the clean training records and in "
                f"{share['test']:.2%} of the test records: what it brings about there is no backdoor. Choose another "
                "place or value (attack.value, attack.pattern, attack.corner, attack.margin; attack.columns, "
                "attack.values)"
            )
    obeyed = attack_success_rate(before, labels, attack.target)
    if obeyed > 0.5:
        found.append(
            f"{victim.name}: without any poisoning the model answers class {attack.target} for {obeyed:.0%} of the "
            "triggered records: attack_success_rate is not the backdoor's doing. Choose another trigger or "
            "attack.target"
        )
    if not bool((labels != attack.target).any()):
        found.append(
            "every test record is of the target class: attack_success_rate is not defined. Change attack.target"
        )
    return found


def _unsuited(victim: Victim, attack: PoisoningAttack, answers: Tensor, before: Tensor, labels: Tensor) -> list[str]:
    """A warning if the undefended model did not learn the backdoor, or always obeys: then no defence can be judged."""
    if victim.recipe.defenses:
        return []
    rate, base = (attack_success_rate(rows, labels, attack.target) for rows in (answers, before))
    found: list[str] = []
    if rate <= base + 0.05:
        found.append(
            f"{victim.name}: poisoning raised attack_success_rate from {base:.1%} to {rate:.1%} only: the backdoor was "
            "not learned, and no defence against it can be seen to work. Raise attack.rate, attack.size or epochs"
        )
    elif rate > _CEILING:
        found.append(
            f"{victim.name}: attack_success_rate is {rate:.1%}, so near its ceiling that a defence can make the "
            "backdoor harder to learn without moving it. Lower attack.rate, or set attack.rate_curve to see "
            "where the success falls"
        )
    return found


def _training_warnings(victim: Victim, deceived: Victim) -> list[str]:
    """What training on the poisoned records said that training on the clean ones did not."""
    known = victim.trained.report.get("warnings", ())
    return [f"{deceived.name}: {text}" for text in deceived.trained.report.get("warnings", ()) if text not in known]
