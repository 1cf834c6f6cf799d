"""How poisoning is assessed: the victim trains on poisoned records, and then does what the attack wants, or not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for, predict
from amulet.poisoning.attacks import Adversary, Aim, BadNets, Poisoned, PoisoningAttack
from amulet.poisoning.metrics import PoisoningEvidence, measure
from amulet.training.base_recipe import Trained
from amulet.training.defense import Defense
from amulet.training.parallel.memory_budget import portion
from amulet.training.removal import removal_in
from amulet.training.victim import DataSplits, Victim

__all__ = ["aftermath", "assess", "check", "check_splits", "default_attack", "measure"]

_POISONED = "on poisoned records"
_CEILING = 0.98  # attack success of an undefended model above which it tells little of a defence
_FLOOR = 0.05  # what poisoning must add to it, at the least


def default_attack(defenses: Sequence[Defense]) -> PoisoningAttack:
    """BadNets with its defaults, whatever the defence."""
    return BadNets()


def check(attack: PoisoningAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """With `data`: do the attack's settings fit it, are there enough records to poison?"""
    if data is None:
        return
    attack.check(data)
    for one in _at_rates(attack):
        one.promise(data.train.y)


def check_splits(attack: PoisoningAttack, splits: DataSplits) -> None:
    """`IncompatibleError` if the victim has too few records that can be poisoned for a rate."""
    for one in _at_rates(attack):
        one.promise(splits.victim_records.y)


def _at_rates(attack: PoisoningAttack) -> list[PoisoningAttack]:
    """The attack, and the same at every other rate of its curve, in ascending order."""
    return [attack, *(attack.changed(rate=rate, rate_curve=None) for rate in sorted(set(attack.rate_curve or ())))]


def assess(victim: Victim, attack: PoisoningAttack, splits: DataSplits) -> PoisoningEvidence:
    """Poison the victim's records, train on them with the victim's recipe, and try what the attack is after.

    That is the trigger on every test record, or the test records as they are, where the attack has no trigger.
    """
    test, adversary = splits.test_records, _adversary(splits)
    aim = attack.aim(adversary, test)
    poisoned = _poisoned(victim, attack, aim, adversary)
    deceived = victim.on(poisoned.records, _POISONED)
    clean, plain = (one.logits(test).argmax(dim=1) for one in (deceived, victim))
    evidence = PoisoningEvidence(
        ids=test.ids,
        labels=test.y.cpu(),
        wanted=aim.wanted,
        counts=aim.counts,
        has_triggers=bool(aim.triggers),
        clean_answers=clean,
        attacked_answers=_attacked(deceived.model, test, aim, clean),
        unpoisoned_clean_answers=plain,
        unpoisoned_attacked_answers=_attacked(victim.model, test, aim, plain),
        poisoned_ids=poisoned.ids,
        poisoned_which=poisoned.which,
    )
    by_rate = _curve(victim, attack, aim, splits)
    presence = [
        {"victim": _share(trigger.present(victim.records)), "test": _share(trigger.present(test))}
        for trigger in aim.triggers
    ]
    return evidence.changed(
        curve={rate: answers for rate, (_, answers) in by_rate.items()},
        curve_clean={rate: answers for rate, (answers, _) in by_rate.items()},
        manifest=_manifest(victim, attack, aim, poisoned, presence, evidence, deceived.trained),
        warnings=(
            *attack.doubts(splits.data),
            *_warnings(victim, aim, presence, evidence),
            *_unsuited(victim, evidence),
            *_training_warnings(victim, deceived),
        ),
    )


def _manifest(
    victim: Victim,
    attack: PoisoningAttack,
    aim: Aim,
    poisoned: Poisoned,
    presence: Sequence[dict[str, float]],
    evidence: PoisoningEvidence,
    trained: Trained,
) -> dict[str, Any]:
    relabelled = int((poisoned.records.y != victim.records.y).sum())
    made: dict[str, Any] = {
        "rate": attack.rate,
        "poisoned_records": len(poisoned.ids),
        "relabelled_records": relabelled,
        "training_records": len(victim.records),
        "realised_rate": len(poisoned.ids) / len(victim.records),
        "aimed_at": int(aim.counts.sum()),
        "triggers": [trigger.name for trigger in aim.triggers],
        "in_clean_records": list(presence),
        "attack_success_rate_by_trigger": evidence.success().mean(dim=1).tolist() if aim.triggers else [],
        "records_digest": poisoned.records.digest[:16],
        "training": {
            name: value for name, value in trained.report.items() if name not in ("losses", "seconds", "warnings")
        },
    }
    removal = _removal(poisoned, trained)
    return made | ({"removal": removal} if removal else {})


def _adversary(splits: DataSplits) -> Adversary:
    recipe, records, stream = splits.plain_recipe, splits.adversary_records, splits.attack_stream("poisoning")
    return Adversary(
        records=records,
        stream=stream,
        num_classes=splits.data.num_classes,
        names=splits.data.feature_names,
        train=lambda records, stream: recipe.fit(records, stream, "train the adversary's surrogate"),
        key=recipe.key(records, stream),
        store=recipe.runtime.store,
    )


def _curve(victim: Victim, attack: PoisoningAttack, aim: Aim, splits: DataSplits) -> dict[str, tuple[Tensor, Tensor]]:
    """By rate, a model trained with that share of poison: its answers to clean (n,) and to attacked (t, n) records."""
    rates, found = _at_rates(attack)[1:], dict[str, tuple[Tensor, Tensor]]()
    test, adversary = splits.test_records, _adversary(splits)
    at_once = portion(victim.recipe, victim.records, [torch.arange(len(victim.records))]) if rates else 1
    for start in range(0, len(rates), at_once):
        part = rates[start : start + at_once]
        again = [victim.on(_poisoned(victim, one, aim, adversary).records) for one in part]
        label = f"train {victim.name} {_POISONED} at {len(part)} other rates"
        made = victim.recipe.produce_many([one.records for one in again], [one.stream for one in again], label)
        for one, trained in zip(part, made, strict=True):
            clean = predict(trained.model, test).argmax(dim=1)
            found[f"{one.rate:g}"] = clean, _attacked(trained.model, test, aim, clean)
    return found


def aftermath(victim: Victim, attack: PoisoningAttack, splits: DataSplits) -> Victim:
    """The victim that trained on the poisoned records."""
    adversary = _adversary(splits)
    aim = attack.aim(adversary, splits.test_records)
    return victim.on(_poisoned(victim, attack, aim, adversary).records, _POISONED)


def _poisoned(victim: Victim, attack: PoisoningAttack, aim: Aim, adversary: Adversary) -> Poisoned:
    """The victim's poisoned records, after the attack was held to its promise."""
    poisoned = attack.poison(victim.records, aim, adversary)
    broken = attack.promise(victim.records.y).broken(victim.records, poisoned)
    if broken:
        raise RuntimeError(f"{attack!r} did not poison what it was asked to: {broken}")
    return poisoned


def _attacked(model: nn.Module, test: Records, aim: Aim, clean: Tensor) -> Tensor:
    """(t, n) a model's answers to test records with each trigger, a batch at a time; (1, n) `clean` without any."""
    if not aim.triggers:
        return clean.unsqueeze(0)
    size = batch_size_for(test.shape)
    parts = [test.batch(slice(start, start + size)) for start in range(0, len(test), size)]
    rows = [
        [predict(model, part.replaced(x=trigger.on(part.x))).argmax(dim=1) for part in parts]
        for trigger in aim.triggers
    ]
    return torch.stack([torch.cat(row) for row in rows])


def _share(mask: Tensor) -> float:
    return mask.double().mean().item()


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


def _warnings(victim: Victim, aim: Aim, presence: Sequence[dict[str, float]], evidence: PoisoningEvidence) -> list[str]:
    found: list[str] = []
    for trigger, share in zip(aim.triggers, presence, strict=True):
        if max(share.values()) > 0:
            found.append(
                f"the trigger ({trigger.name}) is in {share['victim']:.2%} of the clean training records and in "
                f"{share['test']:.2%} of the test records: what it brings about there is no backdoor. Choose another "
                "place, value or strength of the trigger (see its settings in `amulet list attack`)"
            )
    if not bool(aim.counts.any()):
        found.append(
            "no test record is one that the attack is after: attack_success_rate and triggered_accuracy are not "
            "defined. Change attack.target"
        )
    elif (before := evidence.success(poisoned=False).mean().item()) > 0.5:
        found.append(
            f"{victim.name}: without any poisoning the model gives the answer that the attack wants for {before:.0%} "
            "of the records that it is after: attack_success_rate is not the poison's doing. Choose another trigger, "
            "seed or attack.target"
        )
    return found


def _unsuited(victim: Victim, evidence: PoisoningEvidence) -> list[str]:
    """A warning if the undefended model did not learn the poison, or always obeys: then no defence can be judged."""
    if victim.recipe.defenses or not bool(evidence.counts.any()):
        return []
    rate, base = (evidence.success(poisoned=poisoned).mean().item() for poisoned in (True, False))
    if rate <= base + _FLOOR:
        text = (
            f"attack_success_rate is {base:.1%} without poison and {rate:.1%} with it: the attack did not work, and no "
            "defence against it can be seen to. Raise attack.rate, the strength of the trigger if it has one, or epochs"
        )
        return [f"{victim.name}: {text}"]
    if rate > _CEILING:
        text = (
            f"attack_success_rate is {rate:.1%}, so near its ceiling that a defence can make the poison harder to "
            "learn without moving it. Lower attack.rate, or set attack.rate_curve to see where the success falls"
        )
        return [f"{victim.name}: {text}"]
    return []


def _training_warnings(victim: Victim, deceived: Victim) -> list[str]:
    """What training on the poisoned records said that training on the clean ones did not."""
    known = victim.trained.report.get("warnings", ())
    return [f"{deceived.name}: {text}" for text in deceived.trained.report.get("warnings", ()) if text not in known]
