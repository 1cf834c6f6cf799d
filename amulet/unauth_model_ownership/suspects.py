"""Populations of models with which an ownership defence is evaluated."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import evaluating
from amulet.training.loop import train
from amulet.training.parallel.workers import in_workers
from amulet.training.recipe import Recipe
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.attacks.base import ExtractionAttack
from amulet.unauth_model_ownership.defenses.base import Judgement, OwnershipDefense, Verifier
from amulet.unauth_model_ownership.metrics.evidence import Verification

Suspects = Mapping[str, Sequence[nn.Module]]
"""Models by kind: `exact_copy`, `fine_tuned`, `stolen`, `independent`."""


def stolen_stream(splits: DataSplits, number: int = 0) -> Stream:
    """The stream of the run's stolen model (0) and of the other stolen models; the same for both victims."""
    return splits.attack_stream("model_extraction", *([number] if number else []))


def suspects_of(victim: Victim, bought: Records, attack: ExtractionAttack, splits: DataSplits) -> Suspects:
    """All suspects of one victim: copies of its model, and independent models.

    Args:
        bought: the training data of the run's stolen model; the other stolen models learn from the same answers, with
            other initial weights and batches.
    """
    name, recipe = victim.name, attack.recipe(splits.plain_recipe)
    stolen = recipe.changed(objective=attack.objective).fit_many(
        [bought] * attack.suspects,
        [stolen_stream(splits, number) for number in range(attack.suspects)],
        f"stolen models of {name}",
    )
    independent = recipe.fit_many(
        [splits.adversary_records] * attack.independents,
        [splits.attack_stream("independent", number) for number in range(attack.independents)],
        "independent models",
    )
    return {
        "exact_copy": [copy.deepcopy(victim.model)],
        "fine_tuned": _fine_tuned(victim, recipe, attack, splits),
        "stolen": stolen,
        "independent": independent,
    }


def _fine_tuned(victim: Victim, recipe: Recipe, attack: ExtractionAttack, splits: DataSplits) -> list[nn.Module]:
    """Copies that the adversary trained on, each on a random half of its records with their true labels."""
    records, runtime, copies = splits.adversary_records, splits.runtime, []
    with runtime.reporter.stage(f"fine-tuned copies of {victim.name}", attack.suspects, "model") as stage:
        for number in range(attack.suspects):
            stream = splits.attack_stream("fine_tuning", number)
            half = torch.randperm(len(records), generator=(stream / "records").generator())[: (len(records) + 1) // 2]
            model = copy.deepcopy(victim.model)
            train(
                model,
                records.take(half.sort().values),
                optimizer=recipe.optimizer,
                epochs=attack.fine_tune_epochs,
                batch_size=recipe.batch_size,
                stream=stream,
                device=runtime.device,
                precision=recipe.precision,
                label=f"fine-tuned copy of {victim.name}",
            )
            copies.append(model.eval())
            stage.advance(1)
    return copies


def _judge(verifier: Verifier, model: nn.Module) -> Judgement:
    with evaluating(model):
        return verifier.judge(model)


def verify(
    defense: OwnershipDefense, victim: Victim, suspects: Suspects, splits: DataSplits
) -> tuple[Verification, Verifier]:
    """Judge every suspect with a verification that was set up before the suspects."""
    verifier = defense.verifier(victim, splits)
    judged: dict[str, list[Judgement]] = {}
    total = sum(map(len, suspects.values()))
    runtime = splits.runtime if verifier.laborious else dataclasses.replace(splits.runtime, workers=1)
    with splits.runtime.reporter.stage(f"{defense.name} of {victim.name}", total, "suspect") as stage:
        with evaluating(victim.model):
            own, fingerprints = verifier.judge_owner(victim.model)
        for kind, models in suspects.items():
            judged[kind] = []
            if kind == "exact_copy":
                judged[kind].append(own)
                stage.advance(1)
                continue
            for judgement in in_workers(partial(_judge, verifier), models, runtime):
                judged[kind].append(judgement)
                stage.advance(1)
    verification = Verification(
        defense=defense.name,
        alpha=defense.alpha,
        applied=defense.stage == "after" or defense.name in [d.name for d in victim.recipe.defenses],
        p_values={kind: np.array([j.p_value for j in found]) for kind, found in judged.items()},
        scores={kind: np.array([j.score for j in found]) for kind, found in judged.items()},
        score_metric=defense.score_metric,
        trials=judged["exact_copy"][0].trials,
        details=verifier.arrays,
        fingerprints=fingerprints,
    )
    return verification, verifier
