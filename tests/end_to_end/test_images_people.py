"""Sensitive attributes in pictures: of two and of three values, for tasks of two and of more classes."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from amulet.assessment import Plan, assess, check
from amulet.attribute_inference.attacks import AttributeInference
from amulet.attribute_inference.attacks.features import flat_inputs
from amulet.core import Factory, IncompatibleError, Reporter, Stage, Stream
from amulet.datasets import AmuletDataset, Records
from amulet.discriminatory_behavior.attacks import DiscriminatoryBehavior
from amulet.discriminatory_behavior.defenses import AdversarialDebiasing
from amulet.distribution_inference.attacks import DistributionInference
from amulet.distribution_inference.populations import Pool, quotas
from amulet.training import MemoryStore, Runtime
from tests.helpers.image_toys import faces

STORE = MemoryStore()
TASKS = {classes: faces(600, 300, classes=classes) for classes in (2, 4)}
ARCHITECTURES = ["tests.helpers.image_toys.TinyConv", "amulet.models.LinearNet"]


def plan(data: AmuletDataset, attack: Any, architecture: str, *defenses: Any, **changes: Any) -> Plan:
    hidden = {"hidden": [32]} if architecture.endswith("LinearNet") else {}
    settings: dict[str, Any] = {
        "data": data,
        "architecture": Factory(architecture, **hidden),
        "optimizer": Factory("torch.optim.Adam", lr=1e-2),
        "epochs": 6,
        "batch_size": 32,
        "attack": attack,
        "defenses": defenses,
        "runtime": Runtime(store=STORE),
    }
    return Plan(**{**settings, **changes})


@pytest.mark.parametrize(
    ("shape", "width"),
    [((1, 28, 28), 784), ((3, 32, 32), 768), ((3, 62, 47), 1008), ((3, 64, 64), 768), ((2000, 1, 1), 2000)],
)
def test_an_adversary_with_pictures_sees_thumbnails(shape: tuple[int, int, int], width: int) -> None:
    x = torch.randint(0, 256, (7, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = flat_inputs(Records.of(x, torch.zeros(7)))
    assert found.shape == (7, width)
    means = (x.float() / 255).flatten(1).mean(dim=1)
    assert torch.allclose(found.mean(dim=1), means, atol=0.03)
    if width == x[0].numel():
        assert torch.equal(found, x.flatten(1).float() / 255)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attributes_of_two_and_of_three_values_are_inferred(classes: int, architecture: str) -> None:
    outcome = assess(plan(TASKS[classes], AttributeInference(outputs="logits"), architecture))
    metrics, values = outcome.metrics["undefended"], outcome.manifest["attribute_inference"]["undefended"]["values"]
    assert set(values["race"]) == {"0", "1", "2"}
    for name in ("race", "gender"):
        assert metrics[f"{name}.balanced_accuracy"] > 1 / len(values[name]) + 0.03
        assert 0 <= metrics[f"{name}.auc"] <= 1
    assert outcome.baselines["undefended"]["race.prior.balanced_accuracy"] == pytest.approx(1 / 3)


def test_with_the_pictures_the_answers_tell_nothing_more() -> None:
    outcome = assess(plan(TASKS[2], AttributeInference(knows_inputs=True, epochs=30), ARCHITECTURES[0]))
    assert outcome.baselines["undefended"]["gender.inputs.balanced_accuracy"] > 0.95
    said = "gender from the model's answers is not shown to be better than from the inputs alone"
    assert any(said in text for text in outcome.warnings)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("labels", ["natural", "fixed"])
def test_training_sets_have_the_shares_that_were_asked_for(classes: int, architecture: str, labels: Any) -> None:
    attack = DistributionInference(attribute="race", value=2, ratio_1=0.2, ratio_2=0.6, n_models=2, labels=labels)
    data = TASKS[classes]
    outcome = assess(plan(data, attack, architecture, epochs=2))
    manifest = outcome.manifest["distribution_inference"]["undefended"]
    assert manifest["ratios_got"] == {"victim": [0.2, 0.6], "adversary": [0.2, 0.6]}
    arrays = {n.removeprefix("undefended.distribution_inference."): a for n, a in outcome.arrays.items()}
    race = dict(zip(data.train.ids.tolist(), data.train.attribute("race").tolist(), strict=True))
    for side in ("victim_ids", "adversary_ids"):
        for row, ratio in zip(arrays[side].tolist(), (0.2, 0.2, 0.6, 0.6), strict=True):
            assert sum(race[i] == 2 for i in row) / len(row) == pytest.approx(ratio)
            assert len(set(row)) == len(row) == manifest["size"]
    asked = set(arrays["query_ids"].flatten().tolist())
    assert not asked & set(arrays["adversary_ids"].flatten().tolist())
    shares = manifest["positive_labels"] if classes == 2 else manifest["label_shares"]
    assert len(shares) == 2
    if classes == 4:
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in shares)
        if labels == "fixed":
            assert shares[0] == pytest.approx(shares[1], abs=2.1 / manifest["size"])  # whole records


def test_a_pool_within_a_table_draws_from_its_part_alone() -> None:
    records = TASKS[2].train
    part = torch.arange(100, 400)
    within, copied = Pool(records, "gender", 1, part), Pool(records.take(part), "gender", 1)
    assert len(within) == len(copied) == 300
    assert within.share() == copied.share()
    for labels in ("natural", "fixed"):
        shares = [0.5, 0.5] if labels == "fixed" else None
        cells = quotas(60, 0.4, shares)
        for k in range(3):
            mine, theirs = (pool.draw(cells, labels, Stream(0) / k) for pool in (within, copied))
            assert torch.equal(mine.ids, theirs.ids)


class Watchful(Reporter):
    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        self.stages.append(name)
        return Stage(name, total, unit)


def test_ratios_that_the_two_sides_cannot_give_are_refused_before_training() -> None:
    """All 600 could give them, half of them cannot: `check` has no split, the run does."""
    attack = DistributionInference(attribute="race", value=2, ratio_1=0.2, ratio_2=0.6, size=250)
    seen = Watchful()
    made = plan(TASKS[2], attack, ARCHITECTURES[0], runtime=Runtime(reporter=seen))
    check(made)
    with pytest.raises(IncompatibleError, match="cannot make training sets of 250"):
        assess(made)
    assert not seen.stages


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gaps_of_a_task_of_four_classes_are_over_each_against_the_rest(architecture: str) -> None:
    data = TASKS[4]
    whole = assess(plan(data, DiscriminatoryBehavior(intersections=True), architecture))
    assert whole.manifest["discriminatory_behavior"]["undefended"]["favourable"] == [0, 1, 2, 3]
    single = [assess(plan(data, DiscriminatoryBehavior(positive=c), architecture)) for c in range(4)]
    for name in (
        "race.demographic_parity_difference",
        "gender.true_positive_rate_difference",
        "gender.equalized_odds_difference",
    ):
        assert whole.metrics["undefended"][name] == max(one.metrics["undefended"][name] for one in single)
    rule = [one.metrics["undefended"]["race.p_rule"] for one in single]
    assert whole.metrics["undefended"]["race.p_rule"] == min(value for value in rule if not math.isnan(value))
    assert "intersection.equalized_odds_difference" in whole.metrics["undefended"]
    assert single[2].manifest["discriminatory_behavior"]["undefended"]["favourable"] == [2]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attributes_of_three_values_are_hidden(classes: int, architecture: str) -> None:
    outcome = assess(plan(TASKS[classes], None, architecture, AdversarialDebiasing(ramp=2, strength=1.0)))
    report = outcome.manifest["training"]["defended"]
    assert len(report["adversary_losses"]) == 6
    for victim in ("undefended", "defended"):
        assert 0 <= outcome.metrics[victim]["race.equalized_odds_difference"] <= 1


def test_hiding_needs_the_attribute_whatever_is_measured() -> None:
    nobody = faces(100, 50, attributes=False)
    seen = Watchful()
    runtime = Runtime(reporter=seen)
    made = plan(nobody, None, ARCHITECTURES[0], AdversarialDebiasing(), metrics=("utility",), runtime=runtime)
    with pytest.raises(IncompatibleError, match="adversarial debiasing needs a sensitive attribute"):
        assess(made)
    with pytest.raises(ValueError, match="`attributes` must be among race, gender; got age"):
        assess(dataclasses.replace(made, data=TASKS[2], defenses=(AdversarialDebiasing(attributes=["age"]),)))
    assert not seen.stages
