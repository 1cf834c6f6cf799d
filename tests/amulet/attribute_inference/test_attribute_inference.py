"""Attribute inference: what it learns from, what it finds, what it leaves alone."""

import copy
import dataclasses

import pytest
import torch

from amulet.assessment import Plan, assess
from amulet.attribute_inference import protocol
from amulet.attribute_inference.attacks import AttributeInference
from amulet.attribute_inference.metrics import measure
from amulet.core import Factory, IncompatibleError, SettingError
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import LinearNet
from tests.helpers.attribute_toys import answers_of_label, answers_with_leak, inferred, people, quick

ADVERSARY, TEST = people(1500, 0), people(1000, 1, first_id=5000)


def test_a_leak_is_found_and_is_an_advantage() -> None:
    evidence = inferred(quick(), ADVERSARY, answers_with_leak(ADVERSARY, 3), TEST, answers_with_leak(TEST, 3))
    found = measure(evidence)
    assert found.metrics["group.auc"] > 0.95
    assert found.metrics["group.balanced_accuracy"] > 0.85
    assert found.baselines["group.balanced_accuracy"] > 0.7, "the predicted class gives much of it away"
    assert found.intervals["group.advantage"][0] > 0.05
    assert found.warnings == []


def test_answers_that_say_the_label_are_worth_the_label() -> None:
    """The published attack reports such numbers as leaks; here the predicted class stands beside, with a warning."""
    found = measure(inferred(quick(), ADVERSARY, answers_of_label(ADVERSARY), TEST, answers_of_label(TEST)))
    for baseline in ("label", "predicted_label"):
        assert found.metrics["group.auc"] == pytest.approx(found.baselines[f"group.{baseline}.auc"], abs=1e-9)
    assert found.baselines["group.label.balanced_accuracy"] > 0.6
    assert found.metrics["group.advantage"] == pytest.approx(0, abs=1e-9)
    assert any("predicted class alone" in warning for warning in found.warnings)
    assert found.baselines["group.prior.balanced_accuracy"] == 0.5
    majority = TEST.z[:, 0].bincount().max().item() / len(TEST)
    assert found.baselines["group.prior.attack_accuracy"] == pytest.approx(majority)


def test_more_than_two_values() -> None:
    adversary, test = people(2000, 2, values=4), people(1000, 3, values=4, first_id=5000)
    logits = [answers_with_leak(part, 8) for part in (adversary, test)]
    evidence = inferred(quick(outputs="logits"), adversary, logits[0], test, logits[1])
    found = measure(evidence)
    assert evidence.log_probabilities["group"].shape == (1000, 4)
    assert found.metrics["group.balanced_accuracy"] > 0.9
    assert found.metrics["group.auc"] > 0.95
    assert found.baselines["group.prior.balanced_accuracy"] == 0.25


def test_values_need_not_be_numbered_from_zero() -> None:
    odd = [part.replace(z=part.z * 7 - 3) for part in (ADVERSARY, TEST)]
    renamed = inferred(quick(), odd[0], answers_with_leak(ADVERSARY), odd[1], answers_with_leak(TEST))
    usual = inferred(quick(), ADVERSARY, answers_with_leak(ADVERSARY), TEST, answers_with_leak(TEST))
    assert torch.equal(renamed.answers["group"], usual.answers["group"])
    assert renamed.manifest["values"]["group"].keys() == {"-3", "4"}


def test_a_record_is_judged_by_itself() -> None:
    """Neither the other test records nor anybody's true attribute there has a part in an answer."""
    evidence = inferred(quick(), ADVERSARY, answers_with_leak(ADVERSARY), TEST, answers_with_leak(TEST))
    few = torch.arange(0, len(TEST), 3)
    hidden = TEST.take(few).replace(z=1 - TEST.z[few])
    again = inferred(quick(), ADVERSARY, answers_with_leak(ADVERSARY), hidden, answers_with_leak(TEST)[few])
    for key, answers in evidence.answers.items():
        assert torch.equal(answers[few], again.answers[key]), key


def test_the_thresholds_come_from_records_that_are_not_learned_from() -> None:
    seen: list[int] = []

    class Watching(AttributeInference):
        def guess(self, known: torch.Tensor, *args: object, **more: object) -> torch.Tensor:
            seen.append(len(known))
            return super().guess(known, *args, **more)  # type: ignore[arg-type]

    attack = Watching(epochs=1, held_out=0.3)
    evidence = inferred(attack, ADVERSARY, answers_with_leak(ADVERSARY), TEST, answers_with_leak(TEST))
    assert seen == [1050]
    assert evidence.manifest["held_out"] == 450


def test_logits_tell_what_probabilities_hide() -> None:
    """A constant added to both logits is gone from the probabilities, and may be what gives the attribute away."""

    logits = [answers_of_label(part) + 0.2 * part.z.float() for part in (ADVERSARY, TEST)]
    sets = ADVERSARY, logits[0], TEST, logits[1]
    assert measure(inferred(quick(), *sets)).metrics["group.auc"] < 0.7
    assert measure(inferred(quick(outputs="logits"), *sets)).metrics["group.auc"] > 0.99


def test_a_sure_model_still_answers() -> None:
    sure = [200 * answers_of_label(part) for part in (ADVERSARY, TEST)]
    for outputs in ("probabilities", "logits"):
        evidence = inferred(quick(outputs=outputs), ADVERSARY, sure[0], TEST, sure[1])
        assert all(scores.isfinite().all() for scores in evidence.log_probabilities.values())


def test_knowing_the_inputs_is_compared_with_the_inputs_alone() -> None:
    """Where the inputs give the attribute away, the model's answers add nothing, and that is what the baseline says."""
    telling = [part.replace(x=torch.cat([part.x, part.z.float()], dim=1)) for part in (ADVERSARY, TEST)]
    logits = [answers_with_leak(part) for part in telling]
    evidence = inferred(quick(knows_inputs=True), telling[0], logits[0], telling[1], logits[1])
    found = measure(evidence)
    assert evidence.reference == "inputs"
    assert found.baselines["group.balanced_accuracy"] == found.baselines["group.inputs.balanced_accuracy"]
    assert found.baselines["group.balanced_accuracy"] > 0.99
    assert found.metrics["group.advantage"] < 0.01
    assert any("inputs alone" in warning for warning in found.warnings)
    sets = ADVERSARY, answers_with_leak(ADVERSARY, 3), TEST, answers_with_leak(TEST, 3)
    blind = measure(inferred(quick(knows_inputs=True), *sets))
    assert blind.baselines["group.inputs.auc"] < 0.6
    assert blind.intervals["group.advantage"][0] > 0.1


def test_the_baseline_knows_what_the_attack_knows() -> None:
    """The answers say nothing, the label says something: the attack is not given it, unless it is set."""
    silent = [torch.zeros(len(part), 2) for part in (ADVERSARY, TEST)]
    sets = ADVERSARY, silent[0], TEST, silent[1]
    without, with_label = (measure(inferred(quick(knows_label=knows), *sets)) for knows in (False, True))
    assert without.metrics["group.auc"] == without.baselines["group.auc"] == 0.5
    assert without.baselines["group.label.balanced_accuracy"] > 0.6, "stands beside"
    assert with_label.metrics["group.balanced_accuracy"] > 0.6
    for metric in ("balanced_accuracy", "auc"):
        assert with_label.baselines[f"group.{metric}"] == with_label.baselines[f"group.label.{metric}"]
    assert with_label.metrics["group.advantage"] == pytest.approx(0, abs=1e-9)
    assert any("task label alone" in warning for warning in with_label.warnings)


def test_small_groups_are_warned_of() -> None:
    rare = torch.cat([torch.zeros(990), torch.ones(10)]).long().unsqueeze(1)
    test = TEST.replace(z=rare)
    evidence = inferred(quick(epochs=1), ADVERSARY, answers_of_label(ADVERSARY), test, answers_of_label(test))
    assert any("only 10 test records have group = 1" in warning for warning in evidence.warnings)
    named = dataclasses.replace(test, value_names=(("Black", "White"),))
    evidence = inferred(quick(epochs=1), ADVERSARY, answers_of_label(ADVERSARY), named, answers_of_label(test))
    assert any("only 10 test records have group = White" in warning for warning in evidence.warnings)
    assert not any("of the adversary" in warning for warning in evidence.warnings)


def test_an_attribute_does_not_depend_on_which_others_are_inferred() -> None:
    two = [both(part) for part in (ADVERSARY, TEST)]
    logits = [answers_with_leak(part) for part in two]
    all_of_them = inferred(quick(), two[0], logits[0], two[1], logits[1])
    only = inferred(quick(attributes=["label"]), two[0], logits[0], two[1], logits[1])
    assert only.truth.keys() == {"label"}
    assert torch.equal(only.log_probabilities["label"], all_of_them.log_probabilities["label"])


def both(records: Records) -> Records:
    """The records with their label as a second attribute."""
    z = torch.cat([records.z, records.y.unsqueeze(1)], dim=1)
    return Records(records.x, records.y, z, records.ids, ("group", "label"))


def test_the_library_form_leaves_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = LinearNet((3,), 2, hidden=[8], dropout=0.2).train()
    before = copy.deepcopy(model.state_dict())
    attack = AttributeInference(model, ADVERSARY, TEST, epochs=2)
    first, second = attack.attack(), attack.attack()
    assert model.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(first.log_probabilities["group"], second.log_probabilities["group"])
    with pytest.raises(SettingError, match="must be built with a model"):
        AttributeInference(model).attack()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outputs": "labels"}, "`outputs` must be one of probabilities, logits; got labels"),
        ({"attributes": []}, "`attributes` must name at least one attribute"),
        ({"hidden": []}, "`hidden` must list at least one width"),
        ({"epochs": 0}, "`epochs` must satisfy 1 <= epochs, got 0"),
        ({"batch_size": 0}, "`batch_size` must satisfy"),
        ({"lr": 0.0}, "`lr` must satisfy 0 < lr"),
        ({"held_out": 1.0}, "`held_out` must satisfy 0 < held_out < 1, got 1"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        AttributeInference().changed(**settings)
    assert message in str(caught.value)


def test_data_without_attributes_is_refused_before_training() -> None:
    data = load_census(limit=50)
    protocol.check(AttributeInference(), (), None)
    protocol.check(AttributeInference(attributes=["sex"]), (), data)
    with pytest.raises(SettingError, match=r"`attack.attributes` must be one of race, sex; got age"):
        protocol.check(AttributeInference(attributes=["age"]), (), data)
    with pytest.raises(IncompatibleError, match="needs a sensitive attribute"):
        protocol.check(AttributeInference(), (), load_census(limit=50, sensitive=[]))


def plan(data: AmuletDataset, **changes: object) -> Plan:
    settings: dict[str, object] = {
        "data": data,
        "architecture": Factory("amulet.models.LinearNet", hidden=[32]),
        "optimizer": Factory("torch.optim.Adam", lr=0.005),
        "epochs": 5,
        "attack": AttributeInference(),
    }
    return Plan(**{**settings, **changes})  # type: ignore[arg-type]


def test_on_census_the_answers_tell_more_of_sex_than_the_label_does() -> None:
    data = load_census(limit=4000)
    outcome = assess(plan(data, defenses=(AdversarialTrainingPGD(epsilon=0.01, steps=2),), metrics=("P2",)))
    for victim in ("undefended", "defended"):
        metrics, baselines = outcome.metrics[victim], outcome.baselines[victim]
        assert {"race.auc", "sex.auc", "race.balanced_accuracy", "sex.attack_accuracy"} <= metrics.keys()
        assert metrics["sex.auc"] > baselines["sex.predicted_label.auc"] + 0.03
        assert metrics["sex.auc"] > 0.64
        assert 0.53 < baselines["sex.predicted_label.auc"] < 0.66
    manifest = outcome.manifest["attribute_inference"]["undefended"]
    assert manifest["adversary"] == 2000
    assert manifest["queries"] == 8000, "about the training records too"
    sizes = manifest["values"]["race"]["0"]
    assert sizes["test"] == int((data.test.attribute("race") == 0).sum())
    again = assess(plan(data, metrics=("P2",)))
    assert again.metrics["undefended"] == outcome.metrics["undefended"]
