"""Populations of models with which an ownership defence is evaluated."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from torch import nn

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import evaluating, predict
from amulet.training.parallel.workers import in_workers
from amulet.training.recipe import Recipe
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.attacks.base import ExtractionAttack
from amulet.unauth_model_ownership.defenses.base import Judgement, OwnershipDefense, Verifier
from amulet.unauth_model_ownership.metrics.evidence import Verification
from amulet.unauth_model_ownership.removers import USUAL, Thief, built

Suspects = Mapping[str, Sequence[nn.Module]]
"""Models by kind: `exact_copy`, copies that were changed, by the name of their remover, `stolen`, and `independent`,
which are nobody's copies."""


def stolen_stream(splits: DataSplits, number: int = 0) -> Stream:
    """The stream of the run's stolen model (0) and of the other stolen models; the same for both victims."""
    return splits.attack_stream("model_extraction", *([number] if number else []))


def most_records(splits: DataSplits) -> int:
    """How many records the larger party has: models of fewer are trained for as many updates."""
    return max(len(splits.victim_records), len(splits.adversary_records))


def suspects_of(victim: Victim, bought: Records, attack: ExtractionAttack, splits: DataSplits) -> Suspects:
    """All suspects of one victim: copies of its model, and independent models.

    Args:
        bought: the training data of the run's stolen model; the other stolen models learn from the same answers, with
            other initial weights and batches.
    """
    name, recipe = victim.name, attack.recipe(splits.plain_recipe, most_records(splits))
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
        **_altered(victim, recipe, attack, splits),
        "stolen": stolen,
        "independent": independent,
    }


def _altered(
    victim: Victim, recipe: Recipe, attack: ExtractionAttack, splits: DataSplits
) -> dict[str, list[nn.Module]]:
    """Copies that the adversary changed so that they are not recognised."""
    chosen = USUAL if attack.removers is None else {name: built(name, node) for name, node in attack.removers.items()}
    numbers = {name: attack.suspects if remover.random else 1 for name, remover in chosen.items()}
    made: dict[str, list[nn.Module]] = {name: [] for name in chosen}
    with splits.runtime.reporter.stage(f"copies of {victim.name}", sum(numbers.values()), "model") as stage:
        for name, remover in chosen.items():
            for number in range(numbers[name]):
                thief = Thief(
                    records=splits.adversary_records,
                    recipe=recipe,
                    epochs=attack.fine_tune_epochs,
                    stream=splits.attack_stream("removal", number),
                    name=f"{name} copy of {victim.name}",
                )
                made[name].append(remover.remove(copy.deepcopy(victim.model), thief).eval())
                stage.advance(1)
    return made


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
            claimed = verifier.false_claim(victim.model, suspects["independent"][0])
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
        false_claim=None if claimed is None else claimed.p_value,
    )
    return verification, verifier


def accuracies_of(suspects: Suspects, test: Records) -> dict[str, np.ndarray]:
    """(suspects,) float64 by kind: the accuracy of each on the test split."""
    labels = test.y.cpu()
    return {
        kind: np.array([(predict(model, test).argmax(dim=1) == labels).double().mean().item() for model in models])
        for kind, models in suspects.items()
    }
