"""Ownership defences judged over populations of suspects, by the protocol."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amulet.assessment import Plan
from amulet.assessment import assess as assess_plan
from amulet.assessment import check as check_plan
from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census, stratified_split
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import predict
from amulet.training import DataSplits, Defense, MemoryStore, Recipe, Runtime, Victim
from amulet.unauth_model_ownership import Judgement, OwnershipDefense, Verifier, WatermarkNN
from amulet.unauth_model_ownership.attacks import ModelExtraction, Oracle
from amulet.unauth_model_ownership.metrics import measure
from amulet.unauth_model_ownership.protocol import assess
from amulet.unauth_model_ownership.suspects import stolen_from, suspects_of

ATTACK = ModelExtraction(suspects=2, independents=3, fine_tune_epochs=2)


class Closeness(OwnershipDefense):
    """Flags whoever agrees with the owner on nearly all test records: a stand-in for verification after training."""

    stage = "after"

    def __init__(self, *, alpha: float = 0.05, least: float = 0.97) -> None:
        self.alpha, self.least = alpha, least

    def verifier(self, owner: Victim, splits: DataSplits) -> Verifier:
        least, seen = self.least, splits.test_records
        expected = owner.logits(seen).argmax(dim=1)

        class Compare(Verifier):
            def judge(self, suspect: nn.Module) -> Judgement:
                assert not suspect.training
                share = (predict(suspect, seen).argmax(dim=1) == expected).double().mean().item()
                return Judgement(0.001 if share >= least else 0.5, share)

        return Compare({"records": len(seen)}, {"ids": seen.ids.numpy()}, (f"{owner.name}: a stand-in",))


def table(n: int, seed: int, first: int) -> Records:
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=draw)
    x = (0.4 + 0.2 * y.unsqueeze(1) + 0.25 * torch.randn(n, 12, generator=draw)).clamp(0, 1)
    return Records(x, y, torch.zeros(n, 0, dtype=torch.int64), torch.arange(first, first + n))


def made_splits(*defenses: Defense) -> DataSplits:
    data = AmuletDataset(
        name="toy", modality="tabular", train=table(600, 0, 0), test=table(300, 1, 10_000), num_classes=2
    )
    stream = Stream(0)
    mine, theirs = stratified_split(data.train.y, [300, 300], (stream / "split").generator())
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[48]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=5e-3),
        epochs=15,
        batch_size=32,
    )
    return DataSplits(
        data=data,
        victim_records=data.train.take(mine),
        adversary_records=data.train.take(theirs),
        stream=stream,
        runtime=recipe.runtime,
        defenses=defenses,
        plain_recipe=recipe,
    )


def victims(at: DataSplits) -> tuple[Victim, Victim]:
    undefended = Victim("undefended", at.plain_recipe, at.victim_records, at.stream / "victim")
    recipe = at.plain_recipe.changed(defenses=at.defenses)
    return undefended, dataclasses.replace(undefended, name="defended", recipe=recipe, _known={})


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_suspects_are_what_they_are_called() -> None:
    at = made_splits()
    victim, _ = victims(at)
    bought = ATTACK.query(Oracle(victim.logits), at.adversary_records, Stream(0))
    before = weights(victim.model)
    suspects = {**suspects_of(victim, ATTACK, at), "stolen": stolen_from(victim, bought, ATTACK, at)}
    assert {kind: len(models) for kind, models in suspects.items()} == {
        "exact_copy": 1,
        "fine_tuned": 2,
        "fine_tuned_x5": 2,
        "pruned_50": 1,
        "pruned_80": 1,
        "quantised_4": 1,
        "overwritten": 2,
        "filtered": 1,
        "rounded": 1,
        "stolen": 2,
        "independent": 3,
    }
    assert torch.equal(weights(suspects["exact_copy"][0]), before)
    assert torch.equal(weights(victim.model), before)
    wrapped = ("filtered", "rounded")  # copies whose weights are the owner's
    every = [weights(model) for kind, models in suspects.items() if kind not in wrapped for model in models]
    assert all(torch.equal(weights(suspects[kind][0]), before) for kind in wrapped)
    assert all(not torch.equal(a, b) for i, a in enumerate(every) for b in every[:i])
    # A fine-tuned copy is nearer to the owner's weights than a model with other beginnings.
    far = (weights(suspects["independent"][0]) - before).norm()
    assert all((weights(model) - before).norm() < far / 2 for model in suspects["fine_tuned"])
    near, further = ((weights(suspects[kind][0]) - before).norm() for kind in ("fine_tuned", "fine_tuned_x5"))
    assert further > 2 * near
    assert all(not model.training for models in suspects.values() for model in models)
    # Independent models are nobody's copies: the adversary's records, their true labels, no answer of the victim.
    expected = at.plain_recipe.fit(at.adversary_records, at.attack_stream("independent", 2))
    assert torch.equal(weights(suspects["independent"][2]), weights(expected))


def test_labels_chosen_afterwards_claim_a_model_that_nobody_marked() -> None:
    at = made_splits(WatermarkNN(triggers=100))
    undefended, _ = victims(at)
    measured = measure(assess(undefended, ATTACK, at))
    assert measured.metrics["p_value"] > 0.01 >= measured.metrics["false_claim_p_value"]
    assert any("Deposit triggers and labels" in w for w in measured.warnings)
    # The lie is one of four claims that should fail, and a claim on no suspect recognises no copy.
    assert measured.metrics["ownership_fpr"] == 1 / 4
    assert measured.metrics["independent.ownership_fpr"] == 0
    assert measured.metrics["ownership_accuracy"] == (0 + 3 / 4) / 2 < measured.baselines["ownership_accuracy"]


def test_independent_models_are_trained_once_for_both_victims() -> None:
    class Counting(MemoryStore):
        saved = 0

        def save(self, key: str, stored: object) -> None:
            self.saved += 1
            super().save(key, stored)  # type: ignore[arg-type]

    store = Counting()
    at = made_splits(Closeness())
    runtime = Runtime(store=store)
    at = at.changed(runtime=runtime, plain_recipe=at.plain_recipe.changed(runtime=runtime))
    undefended, defended = victims(at)
    assess(undefended, ATTACK, at)
    # The victim, two stolen models (the run's own is one of them), three independent ones (one is the baseline).
    assert store.saved == 1 + 2 + 3
    assess(defended, ATTACK, at)
    assert store.saved == 6, "a defence after training alters no weight: the defended victim is the same model"


def test_the_watermark_is_judged_over_all_suspects() -> None:
    at = made_splits(WatermarkNN(triggers=60))
    undefended, defended = victims(at)
    bare, marked = (measure(assess(victim, ATTACK, at)) for victim in (undefended, defended))
    assert marked.metrics["watermark_accuracy"] > 0.9
    assert marked.metrics["p_value"] < 1e-9
    assert marked.metrics["independent.ownership_fpr"] == 0.0
    assert marked.metrics["ownership_fnr"] < 1.0
    assert abs(marked.baselines["watermark_accuracy"] - 0.5) < 0.2
    assert marked.intervals["independent.ownership_fpr"][1] > 0.7  # three suspects resolve next to nothing
    assert any("raise attack.independents to 100" in w for w in marked.warnings)
    assert bare.metrics["ownership_fnr"] == 1.0
    assert abs(bare.metrics["watermark_accuracy"] - 0.5) < 0.25
    assert not any("does not recognise" in w for w in bare.warnings)


def test_a_mark_that_was_not_learned_is_said_to_be() -> None:
    at = made_splits(WatermarkNN(triggers=100, repeats=1))
    at = at.changed(plain_recipe=at.plain_recipe.changed(epochs=1))
    _, defended = victims(at)
    found = measure(assess(defended, ATTACK, at))
    assert any("does not recognise an exact copy" in w for w in found.warnings)


def test_any_verification_after_training() -> None:
    at = made_splits(Closeness())
    for victim in victims(at):
        evidence = assess(victim, ATTACK, at)
        (verification,) = evidence.verifications
        assert verification.applied
        assert verification.scores["exact_copy"].tolist() == [1.0]
        measured = measure(evidence)
        assert measured.metrics["p_value"] == 0.001
        assert "watermark_accuracy" not in measured.metrics
        assert f"{victim.name}: a stand-in" in measured.warnings
        manifest = evidence.manifest["verification"]
        assert manifest["closeness"]["records"] == 300
        assert manifest["closeness"]["flagged"]["exact_copy"] == 1
        assert manifest["suspects"]["independent"] == 3
        arrays = evidence.arrays()
        assert len(arrays["closeness.p_values.stolen"]) == 2
        assert np.array_equal(arrays["closeness.details.ids"], at.test_records.ids.numpy())


def test_two_verifications_judge_the_same_suspects() -> None:
    at = made_splits(Closeness(), WatermarkNN(triggers=40))
    _, defended = victims(at)
    evidence = assess(defended, ATTACK, at)
    assert [v.defense for v in evidence.verifications] == ["closeness", "watermarknn"]
    metrics = measure(evidence).metrics
    assert metrics["watermarknn.watermark_accuracy"] > 0.9
    assert metrics["closeness.p_value"] == 0.001


def test_verification_needs_no_suspects_where_no_defence_verifies() -> None:
    at = made_splits(AdversarialTrainingPGD(epsilon=0.05, steps=2))
    _, defended = victims(at)
    evidence = assess(defended, ATTACK, at)
    assert evidence.verifications == ()
    assert "verification" not in evidence.manifest
    assert "ownership_fpr" not in measure(evidence).metrics


def test_the_defences_own_check_runs_before_training() -> None:
    def plan(triggers: int, data: AmuletDataset | None) -> Plan:
        return Plan(
            data=data,
            architecture=Factory("amulet.models.LinearNet"),
            optimizer=Factory("torch.optim.Adam"),
            defenses=(WatermarkNN(triggers=triggers),),
            metrics=("utility",),
        )

    at = made_splits()
    check_plan(plan(100, at.data))
    check_plan(plan(3, None))
    with pytest.raises(SettingError, match=r"`defense\.triggers` must be enough"):
        check_plan(plan(3, at.data))


def test_a_watermark_beside_adversarial_training_on_census() -> None:
    outcome = assess_plan(
        Plan(
            data=load_census(limit=1500),
            architecture=Factory("amulet.models.LinearNet"),
            optimizer=Factory("torch.optim.Adam", lr=1e-3),
            epochs=6,
            batch_size=64,
            defenses=(AdversarialTrainingPGD(epsilon=0.02, steps=1), WatermarkNN(triggers=40)),
            attack=ATTACK,
            metrics=("unauth_model_ownership",),
        )
    )
    metrics = outcome.metrics["defended"]
    assert metrics["watermark_accuracy"] > 0.9
    assert metrics["p_value"] < 0.01 < outcome.metrics["undefended"]["p_value"]
    assert outcome.arrays["defended.training.watermarknn.x"].shape == (40, 42)
    assert outcome.arrays["defended.unauth_model_ownership.watermarknn.p_values.independent"].shape == (3,)
