"""How ownership is assessed: the victim is queried with the adversary's records, and its owner looks for copies."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.access import granting
from amulet.core.component import Factory
from amulet.core.errors import IncompatibleError, SettingError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.training.base_recipe import Trained
from amulet.training.defense import Defense
from amulet.training.device_data import updates_of
from amulet.training.recipe import Recipe
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.attacks import ExtractionAttack, Means, ModelExtraction, Oracle
from amulet.unauth_model_ownership.defenses import OwnershipDefense
from amulet.unauth_model_ownership.metrics import (
    OwnershipEvidence,
    Verification,
    fidelity,
    fidelity_kappa,
    measure,
)
from amulet.unauth_model_ownership.suspects import (
    accuracies_of,
    judged,
    most_records,
    stolen_from,
    stolen_stream,
    verify,
)

__all__ = ["assess", "check", "check_splits", "check_suite", "default_attack", "measure"]


def default_attack(defenses: Sequence[Defense]) -> ExtractionAttack:
    """Model extraction over all of the adversary's records."""
    return ModelExtraction()


def check(attack: ExtractionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Can the stolen model be built, the budget be spent, and ownership be verified on this data?"""
    if attack.architecture:
        Factory(attack.architecture).load()
    if attack.removers is not None and not any(isinstance(defense, OwnershipDefense) for defense in defenses):
        raise IncompatibleError(
            "`attack.removers` hide copies from a defence that verifies ownership, and this run has none; add one, or "
            "leave them out"
        )
    if data is None:
        return
    budgets = [attack.queries or 0, *(attack.query_curve or [])]
    if attack.most_queries(len(data.train)) is not None and max(budgets) >= len(data.train):
        raise SettingError(
            f"`attack.queries` must be less than the {len(data.train)} training records, of which the adversary owns a "
            f"part; got {max(budgets)}"
        )
    attack.check(data)


def check_suite(attacks: Mapping[str, ExtractionAttack], defenses: Sequence[Defense]) -> None:
    """`SettingError` unless all attacks may ask equally much, and all thieves hide their copies in the same ways."""
    (first, base), *others = attacks.items()
    for key in ("queries", "suspects", "independents", "fine_tune_epochs", "removers"):
        for name, attack in others:
            if getattr(attack, key) != getattr(base, key):
                raise SettingError(
                    f"`attack.{key}` must be the same for all attacks of a suite: {first} has {getattr(base, key)!r}, "
                    f"{name} {getattr(attack, key)!r}"
                )


def check_splits(attack: ExtractionAttack, splits: DataSplits) -> None:
    """`SettingError` if the adversary has fewer records than it is to query the victim with."""
    queries, owned = attack.queries, len(splits.adversary_records)
    most = attack.most_queries(owned)
    if queries is not None and most is not None and queries > most:
        raise SettingError(f"`attack.queries` must be at most {most}, the adversary's records; got {queries}")
    budgets, most = attack.query_curve or [], queries or most
    if budgets and most is not None and max(budgets) > most:
        raise SettingError(f"`attack.query_curve` must be at most {most}, what is queried; got {max(budgets)}")


def assess(victim: Victim, attack: ExtractionAttack, splits: DataSplits) -> OwnershipEvidence:
    """Steal the victim's model; if a defence verifies ownership, have it judge copies and independent models."""
    owned, test = splits.adversary_records, splits.test_records
    if torch.isin(owned.ids, torch.cat([victim.records.ids, test.ids])).any():
        raise RuntimeError("the adversary's records are among the victim's or the test split's")
    oracle, stream = Oracle(victim.logits, granting(attack.needs)), stolen_stream(splits)
    recipe = attack.recipe(splits.plain_recipe, most_records(splits))
    recipe.try_out(owned)
    stealing = recipe.changed(objective=attack.objective)

    def learn(part: Records) -> nn.Module:
        return stealing.fit(part, stream, f"steal {victim.name}, between queries")

    bought = attack.gather(oracle, owned, stream, Means(learn, splits.data.groups))
    if torch.isin(bought.ids, torch.cat([victim.records.ids, test.ids])).any():
        raise RuntimeError(f"{attack!r} queries the victim with its own records or with the test split")
    stolen = stealing.produce(bought, stream, f"steal {victim.name}")
    # Independent models, the baseline of fidelity: only their teacher is different.
    alone = splits.attack_stream("independent", 0)
    described = _labelled(attack, bought, owned, alone)
    independent = recipe.produce(described, alone, "independent model")
    parts = _parts(attack, bought, splits)
    curve = _answered(stealing, parts, stream, splits, f"steal {victim.name} with fewer queries")
    told = {budget: _labelled(attack, part, owned, alone) for budget, part in parts.items()}
    independent_curve = _answered(recipe, told, alone, splits, "independent models of fewer records")
    answers, classes = victim.logits(test).argmax(dim=1), splits.data.num_classes
    verifications, accuracies, manifest, warnings = _verifications(victim, attack, bought, splits)
    return OwnershipEvidence(
        victim=victim.name,
        num_classes=classes,
        ids=test.ids,
        labels=test.y.cpu(),
        victim_answers=answers,
        stolen_answers=_answers(stolen, test),
        independent_answers=_answers(independent, test),
        majority=int(owned.y.bincount().argmax()),
        curve=curve,
        independent_curve=independent_curve,
        suspect_accuracies=accuracies,
        verifications=verifications,
        manifest={
            "queries": oracle.queries,
            "adversary_records": len(owned),
            "objective": attack.objective,
            "stolen": _summary(stolen, stealing),
            "independent": _summary(independent, recipe),
            **({"query_curve": {b: _true_to(answers, a, test, classes) for b, a in curve.items()}} if curve else {}),
            **({"verification": manifest} if manifest else {}),
        },
        warnings=warnings,
    )


def _labelled(attack: ExtractionAttack, bought: Records, owned: Records, stream: Stream) -> Records:
    """As many records of the adversary's as were asked about, with their true labels.

    The same ones, if they are records and were chosen by nothing that the victim answered; else any of its records.
    """
    if len(bought) >= len(owned):
        return owned
    if not attack.sequential and (bought.ids >= 0).all():
        # Taken from its own, not from those with answers: one model then serves every victim.
        order = owned.ids.argsort()
        return owned.take(order[torch.searchsorted(owned.ids[order], bought.ids)])
    order = torch.randperm(len(owned), generator=(stream / "records").generator())
    return owned.take(order[: len(bought)])


def _answers(trained: Trained, records: Records) -> Tensor:
    return predict(trained.model, records).argmax(dim=1)


def _true_to(victim: Tensor, stolen: Tensor, test: Records, classes: int) -> dict[str, float]:
    return {
        "fidelity": fidelity(victim, stolen),
        "fidelity_kappa": fidelity_kappa(victim, stolen, classes),
        "stolen_test_accuracy": fidelity(stolen, test.y.cpu()),
    }


def _summary(trained: Trained, recipe: Recipe) -> dict[str, Any]:
    kept = {name: trained.report[name] for name in ("records", "epochs", "loss", "accuracy")}
    return kept | {"updates": kept["epochs"] * max(recipe.min_updates, updates_of(kept["records"], recipe.batch_size))}


def _parts(attack: ExtractionAttack, bought: Records, splits: DataSplits) -> dict[str, Records]:
    """What smaller budgets buy, each part within the larger ones; by budget. The first, where the order counts."""
    budgets = sorted(set(attack.query_curve or []))
    if budgets and budgets[-1] > len(bought):
        raise SettingError(f"`attack.query_curve` must be at most {len(bought)}, what is queried; got {budgets[-1]}")
    order = torch.arange(len(bought))
    if not attack.sequential:
        order = order[torch.randperm(len(bought), generator=splits.attack_stream("query_curve").generator())]
    return {str(budget): bought.take(order[:budget].sort().values) for budget in budgets}


def _answered(
    recipe: Recipe, parts: Mapping[str, Records], stream: Stream, splits: DataSplits, label: str
) -> dict[str, Tensor]:
    """Answers on the test split of a model for each part."""
    made = recipe.produce_many(list(parts.values()), [stream] * len(parts), label) if parts else []
    return {budget: _answers(trained, splits.test_records) for budget, trained in zip(parts, made, strict=True)}


def _verifications(
    victim: Victim, attack: ExtractionAttack, bought: Records, splits: DataSplits
) -> tuple[tuple[Verification, ...], dict[str, np.ndarray], dict[str, Any], tuple[str, ...]]:
    """Verdicts on suspects, their accuracy, how they were made, and warnings; empty where no defence verifies."""
    defenses = [d for d in splits.defenses if isinstance(d, OwnershipDefense)]
    if not defenses:
        return (), {}, {}, ()
    judgements, accuracies = judged(victim, attack, splits, defenses)
    stolen = stolen_from(victim, bought, attack, splits)
    found = [verify(defense, victim, judgements[defense.name], stolen, splits) for defense in defenses]
    manifest: dict[str, Any] = {"suspects": {kind: len(values) for kind, values in found[0].p_values.items()}}
    warnings: list[str] = []
    for verification in found:
        verifier = judgements[verification.defense].verifier
        warnings += verifier.warnings
        manifest[verification.defense] = {
            "alpha": verification.alpha,
            "flagged": {kind: verification.flagged(kind)[0] for kind in verification.p_values},
            **verifier.manifest,
        }
    accuracies = {**accuracies, **accuracies_of({"stolen": stolen}, splits.test_records)}
    in_order = {kind: accuracies[kind] for kind in found[0].p_values}
    return tuple(found), in_order, manifest, tuple(warnings)
