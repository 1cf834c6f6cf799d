"""Populations of models with which an ownership defence is evaluated."""

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import nn

from amulet.core.reporting import Stage
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import evaluating, predict
from amulet.training.parallel.workers import in_workers
from amulet.training.recipe import Recipe
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.attacks.base import ExtractionAttack
from amulet.unauth_model_ownership.defenses.base import Judgement, OwnershipDefense, Verifier
from amulet.unauth_model_ownership.metrics.evidence import Verification
from amulet.unauth_model_ownership.metrics.fingerprints import Fingerprints
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


def suspects_of(victim: Victim, attack: ExtractionAttack, splits: DataSplits) -> Suspects:
    """The suspects of one victim that no attack stole: copies of its model, and independent models."""
    recipe = attack.recipe(splits.plain_recipe, most_records(splits))
    independent = recipe.fit_many(
        [splits.adversary_records] * attack.independents,
        [splits.attack_stream("independent", number) for number in range(attack.independents)],
        "independent models",
    )
    return {
        "exact_copy": [copy.deepcopy(victim.model)],
        **_altered(victim, recipe, attack, splits),
        "independent": independent,
    }


def stolen_from(victim: Victim, bought: Records, attack: ExtractionAttack, splits: DataSplits) -> list[nn.Module]:
    """Stolen models, which learn from the same answers, with other initial weights and batches.

    Args:
        bought: the training data of the run's stolen model, which is the first of them.
    """
    recipe = attack.recipe(splits.plain_recipe, most_records(splits)).changed(objective=attack.objective)
    streams = [stolen_stream(splits, number) for number in range(attack.suspects)]
    return recipe.fit_many([bought] * attack.suspects, streams, f"stolen models of {victim.name}")


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


@dataclass(frozen=True)
class Judged:
    """What one defence says of the suspects that no attack stole, and how it says it."""

    verifier: Verifier
    judgements: Mapping[str, list[Judgement]]
    fingerprints: Fingerprints | None
    claimed: Judgement | None


def judged(
    victim: Victim, attack: ExtractionAttack, splits: DataSplits, defenses: Sequence[OwnershipDefense]
) -> tuple[dict[str, Judged], dict[str, np.ndarray]]:
    """By defence, what it says of the suspects that no attack stole, and how accurate these are.

    Made once for a victim: attacks that differ in how they steal have these suspects in common.
    """

    def make() -> tuple[dict[str, Judged], dict[str, np.ndarray]]:
        suspects = suspects_of(victim, attack, splits)
        found = {defense.name: _judged(defense, victim, suspects, splits) for defense in defenses}
        return found, accuracies_of(suspects, splits.test_records)

    recipe = attack.recipe(splits.plain_recipe, most_records(splits)).describe()
    settings = [recipe, attack.removers, attack.suspects, attack.independents, attack.fine_tune_epochs]
    return victim.once(f"suspects {splits.attack_stream()} {json.dumps(settings, sort_keys=True)}", make)


def verify(
    defense: OwnershipDefense, victim: Victim, judged: Judged, stolen: Sequence[nn.Module], splits: DataSplits
) -> Verification:
    """What a defence says of all suspects, with a verification that was set up before them."""
    usual = dict(judged.judgements)
    independent = usual.pop("independent")
    with _stage(defense, victim, len(stolen), splits) as stage:
        found = {**usual, "stolen": _of(judged.verifier, stolen, splits, stage), "independent": independent}
    return Verification(
        defense=defense.name,
        title=defense.name_in_words(),
        alpha=defense.alpha,
        applied=defense.stage == "after" or defense.name in [d.name for d in victim.recipe.defenses],
        p_values={kind: np.array([j.p_value for j in each]) for kind, each in found.items()},
        scores={kind: np.array([j.score for j in each]) for kind, each in found.items()},
        score_metric=defense.score_metric,
        trials=found["exact_copy"][0].trials,
        details=judged.verifier.arrays,
        fingerprints=judged.fingerprints,
        false_claim=None if judged.claimed is None else judged.claimed.p_value,
    )


def _judged(defense: OwnershipDefense, victim: Victim, suspects: Suspects, splits: DataSplits) -> Judged:
    verifier = defense.verifier(victim, splits)
    with _stage(defense, victim, sum(map(len, suspects.values())), splits) as stage:
        with evaluating(victim.model):
            own, fingerprints = verifier.judge_owner(victim.model)
            claimed = verifier.false_claim(victim.model, suspects["independent"][0])
        stage.advance(1)
        others = {k: _of(verifier, models, splits, stage) for k, models in suspects.items() if k != "exact_copy"}
    return Judged(verifier, {"exact_copy": [own], **others}, fingerprints, claimed)


def _stage(defense: OwnershipDefense, victim: Victim, total: int, splits: DataSplits) -> AbstractContextManager[Stage]:
    return splits.runtime.reporter.stage(f"{defense.name} of {victim.name}", total, "suspect")


def _of(verifier: Verifier, models: Sequence[nn.Module], splits: DataSplits, stage: Stage) -> list[Judgement]:
    runtime = splits.runtime if verifier.laborious else dataclasses.replace(splits.runtime, workers=1)
    found: list[Judgement] = []
    for judgement in in_workers(partial(_judge, verifier), models, runtime):
        found.append(judgement)
        stage.advance(1)
    return found


def _judge(verifier: Verifier, model: nn.Module) -> Judgement:
    with evaluating(model):
        return verifier.judge(model)


def accuracies_of(suspects: Suspects, test: Records) -> dict[str, np.ndarray]:
    """(suspects,) float64 by kind: the accuracy of each on the test split."""
    labels = test.y.cpu()
    return {
        kind: np.array([(predict(model, test).argmax(dim=1) == labels).double().mean().item() for model in models])
        for kind, models in suspects.items()
    }
