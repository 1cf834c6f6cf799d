"""Data reconstruction from end to end: digits, census, and defences beside it."""

import pytest
import torch
from torch import nn

from amulet.assessment import Plan
from amulet.assessment import assess as assess_plan
from amulet.core import Factory, SettingError, Stream
from amulet.data_reconstruction.attacks import ModelInversion
from amulet.data_reconstruction.metrics import measure
from amulet.data_reconstruction.protocol import assess, check, class_means, default_attack
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.training import DataSplits, Recipe, Victim


def digits() -> AmuletDataset:
    """Scikit-learn's 8 x 8 digits, as uint8."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.tensor(bunch.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)  # type: ignore[union-attr]
    everything = Records.of(x, torch.tensor(bunch.target))  # type: ignore[union-attr]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return AmuletDataset(
        name="digits",
        modality="image",
        train=everything.take(order[:1200]),
        test=everything.take(order[1200:]),
        num_classes=10,
    )


def scene_of(data: AmuletDataset, epochs: int = 12) -> tuple[Victim, DataSplits]:
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet"),
        num_classes=data.num_classes,
        optimizer=Factory("torch.optim.Adam", lr=2e-3),
        epochs=epochs,
        batch_size=64,
    )
    stream = Stream(0)
    mine, theirs = data.train.take(torch.arange(0, 1000)), data.train.take(torch.arange(1000, 1200))
    splits = DataSplits(
        data=data,
        victim_records=mine,
        adversary_records=theirs,
        stream=stream,
        runtime=recipe.runtime,
        plain_recipe=recipe,
    )
    return Victim("undefended", recipe, mine, stream / "victim"), splits


def test_digits_come_out_nearer_than_a_random_start() -> None:
    victim, splits = scene_of(digits())
    evidence = assess(victim, ModelInversion(steps=800), splits)
    assert (evidence.loss < evidence.first_loss).all()
    measured = measure(evidence)
    assert measured.metrics["recognition"] > 0.4
    assert measured.baselines["start.recognition"] == pytest.approx(measured.baselines["recognition"])
    assert evidence.manifest["judge_accuracy"] > 0.7
    nearer = [measured.metrics[f"class_{label}.mse"] < measured.baselines["random.mse"] for label in range(10)]
    assert sum(nearer) >= 9
    assert measured.metrics["mse"] < 0.75 * measured.baselines["random.mse"]
    assert measured.metrics["mse"] < measured.baselines["start.mse"]
    assert measured.metrics["ssim"] > measured.baselines["random.ssim"]
    # Each reconstruction is nearer to its own class than to most others.
    distance = (evidence.reconstructions.unsqueeze(1).double() - evidence.means).square().flatten(2).mean(dim=2)
    rank = (distance < distance.diagonal().unsqueeze(1)).sum(dim=1).double()
    assert rank.mean() < 3
    arrays = evidence.arrays()
    assert arrays["reconstructions"].shape == arrays["means"].shape == (10, 1, 8, 8)
    assert evidence.manifest["records_by_class"] == victim.records.y.bincount().tolist()
    again = assess(victim, ModelInversion(steps=800), splits)
    assert torch.equal(again.reconstructions, evidence.reconstructions)


def test_the_judge_is_the_independent_model_of_the_adversarys_records() -> None:
    victim, splits = scene_of(digits(), epochs=2)
    evidence = assess(victim, ModelInversion(steps=20), splits)
    judge = splits.plain_recipe.produce(splits.adversary_records, splits.attack_stream("independent", 0))
    assert judge.loaded, "one model for every protocol that needs an independent one, and for both victims"
    assert torch.allclose(evidence.judged["reconstructions"], judge.model(evidence.reconstructions), atol=1e-4)


def test_pictures_are_smoothed_unless_told_otherwise() -> None:
    victim, splits = scene_of(digits(), epochs=2)
    default, smooth, rough = (assess(victim, ModelInversion(steps=60, tv=tv), splits) for tv in (None, 0.3, 0.0))
    assert torch.equal(default.reconstructions, smooth.reconstructions)
    assert not torch.equal(default.reconstructions, rough.reconstructions)


def test_a_random_start_is_another_one_for_another_seed() -> None:
    victim, splits = scene_of(digits(), epochs=1)
    attack = ModelInversion(steps=3, start="random")
    first, second = assess(victim, attack, splits), assess(victim, attack, splits.changed(stream=Stream(1)))
    assert not torch.equal(first.start, second.start)


def test_class_means_of_any_type() -> None:
    data = digits()
    means, counts = class_means(data.train, 10)
    x = data.train.x.double() / 255
    for label in range(10):
        assert torch.allclose(means[label], x[data.train.y == label].mean(dim=0), atol=1e-6)
    assert counts.sum() == len(data.train)


def test_a_model_without_a_way_in_is_warned_of() -> None:
    victim, splits = scene_of(digits(), epochs=1)
    for layer in victim.trained.model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
    warnings = measure(assess(victim, ModelInversion(steps=5), splits)).warnings
    assert any("hardly moved" in w for w in warnings)
    assert any("did not lower its loss" in w for w in warnings)


def test_both_victims_are_compared_with_the_same_records_on_census() -> None:
    outcome = assess_plan(
        Plan(
            data=load_census(limit=1500),
            architecture=Factory("amulet.models.LinearNet"),
            optimizer=Factory("torch.optim.Adam", lr=1e-3),
            epochs=4,
            batch_size=64,
            defenses=(AdversarialTrainingPGD(epsilon=0.02, steps=1),),
            attack=ModelInversion(steps=150),
            metrics=("data_reconstruction",),
        )
    )
    for victim in ("undefended", "defended"):
        metrics, baselines = outcome.metrics[victim], outcome.baselines[victim]
        assert set(metrics) == {"nearest_mse"} | {
            f"{part}{name}" for part in ("", "class_0.", "class_1.") for name in ("recognition", "mse")
        }
        assert 0 < metrics["nearest_mse"] < baselines["random.mse"]
        assert metrics["recognition"] > 0.6 > baselines["recognition"] == 0.5
        assert metrics["mse"] == pytest.approx((metrics["class_0.mse"] + metrics["class_1.mse"]) / 2)
        assert metrics["mse"] < baselines["random.mse"]
        assert all(torch.tensor(list(baselines.values())).isfinite())
    general = [{k: v for k, v in outcome.baselines[who].items() if k != "nearest_mse"} for who in outcome.baselines]
    assert general[0] == general[1]
    means = [outcome.arrays[f"{v}.data_reconstruction.means"] for v in ("undefended", "defended")]
    assert (means[0] == means[1]).all()
    assert outcome.metrics["undefended"]["mse"] != outcome.metrics["defended"]["mse"]


def test_a_prior_for_pictures_needs_pictures() -> None:
    check(default_attack(()), (), None)
    check(ModelInversion(tv=0.1), (), None)
    check(ModelInversion(tv=0.1), (), digits())
    with pytest.raises(SettingError, match=r"`attack\.tv` must be 0 for inputs that are no images"):
        check(ModelInversion(tv=0.1), (), load_census(limit=200))
