"""A missing categorical input: what the attacks answer, what they cannot see, and what they gain over imputation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from amulet.attribute_inference import protocol
from amulet.attribute_inference.attacks import CSMIA, LOMIA, AidedImputation, Asked, AttributeInference
from amulet.attribute_inference.attacks.completions import CompletionAttack
from amulet.attribute_inference.metrics import measure
from amulet.core import IncompatibleError, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.datasets.variables import categorical
from amulet.testing.laboratory import people
from amulet.training import Runtime
from tests.helpers.attribute_toys import JOB, workers

QUICK: dict[str, Any] = {"epochs": 12, "hidden": [16], "lr": 0.01, "batch_size": 128, "attributes": ["job"]}
KINDS: list[type[CompletionAttack]] = [CSMIA, LOMIA, AidedImputation]


def model(records: Records) -> Tensor:
    """Logits of a fixed network that looks at everything."""
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randn(*shape, generator=generator) for shape in ((5, 16), (16, 2)))
    return ((records.x - 0.3) @ first).tanh() @ second * 2


def asked(answer: Callable[[Records], Tensor], training: Records | None = None) -> Asked:
    return Asked(
        answer=answer,
        adversary=ADVERSARY,
        test=TEST,
        training=training,
        variables={"job": JOB},
        stream=Stream(0) / "attack",
        runtime=Runtime(),
    )


ADVERSARY, TEST, TRAINING = workers(600, 0), workers(400, 1, 1000), workers(500, 2, 2000)


def memory(*tables: Records) -> Callable[[Records], Tensor]:
    """A model that is surer of the label of these records if they come with their own job."""
    own = {int(i): int(job) for table in tables for i, job in zip(table.ids, JOB.codes(table), strict=True)}

    def answer(records: Records) -> Tensor:
        right = [own.get(int(i)) == int(job) for i, job in zip(records.ids, JOB.codes(records), strict=True)]
        sure = 1.0 + torch.tensor(right).float()
        return torch.nn.functional.one_hot(records.y, 2).float() * sure[:, None]

    return answer


def test_csmia_decides_the_three_cases_as_published() -> None:
    """One record after the other, by the words of the paper."""
    found = CSMIA(**QUICK).infer(asked(model)).answers["job"]
    cases = set[int]()
    for i in range(len(TEST)):
        one = TEST.take(torch.tensor([i]))
        probabilities = [model(JOB.completed(one, value)).softmax(dim=1)[0] for value in range(3)]
        confidence = [float(p.max()) for p in probabilities]
        right = [value for value in range(3) if int(probabilities[value].argmax()) == int(one.y)]
        cases.add(min(len(right), 2))
        if right:
            expected = max(right, key=lambda value: confidence[value])
        else:
            expected = min(range(3), key=lambda value: confidence[value])
        assert int(found[i]) == expected
    assert cases == {0, 1, 2}


def test_lomia_takes_the_value_that_alone_is_right() -> None:
    evidence = LOMIA(**QUICK).infer(asked(model))
    right = torch.stack([model(JOB.completed(TEST, v)).argmax(dim=1) == TEST.y for v in range(3)], dim=1)
    alone = right.sum(dim=1) == 1
    assert 30 < alone.sum() < len(TEST) - 30
    assert torch.equal(evidence.answers["job"][alone], right[alone].int().argmax(dim=1))
    assert (evidence.log_probabilities["job"].max(dim=1).values[~alone] < -1e-6).all(), "the others are estimated"


def test_lomia_that_learns_nothing_says_so() -> None:
    evidence = LOMIA(**QUICK).infer(asked(lambda records: torch.nn.functional.one_hot(records.y, 2).float()))
    assert any("the victim hardly looks at it" in warning for warning in evidence.warnings)
    assert measure(evidence).metrics["job.balanced_accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_missing_value_is_never_seen(kind: type[CompletionAttack]) -> None:
    """Other values in the records that are attacked change no answer, of the attack or of its baselines."""
    usual = kind(**QUICK).infer(asked(model))
    shuffled = JOB.completed(TEST, 1).x.clone()
    shuffled[::2] = JOB.completed(TEST, 2).x[::2]
    shuffled[:2, 2:] = torch.eye(3)[:2]  # every value still occurs
    again = kind(**QUICK).infer(replace(asked(model), test=TEST.replace(x=shuffled)))
    for key, answers in usual.answers.items():
        assert torch.equal(answers, again.answers[key]), key


@pytest.mark.parametrize("kind", [CSMIA, LOMIA])
def test_attacks_that_learn_nothing_from_the_adversarys_values_do_not_look_at_them(
    kind: type[CompletionAttack],
) -> None:
    usual = kind(**QUICK).infer(asked(model))
    order = torch.randperm(len(ADVERSARY), generator=torch.Generator().manual_seed(0))
    x = torch.cat([ADVERSARY.x[:, :2], ADVERSARY.x[order, 2:]], dim=1)
    again = kind(**QUICK).infer(replace(asked(model), adversary=ADVERSARY.replace(x=x)))
    assert torch.equal(usual.answers["job"], again.answers["job"])
    assert not torch.equal(usual.answers["job.inputs"], again.answers["job.inputs"]), "the guesser learns from them"


@pytest.mark.parametrize("kind", KINDS)
def test_labels_suffice_where_it_says_so(kind: type[CompletionAttack]) -> None:
    attack = kind(**QUICK)
    attack = attack.changed(outputs="labels") if isinstance(attack, AidedImputation) else attack
    labels = attack.infer(asked(lambda records: torch.nn.functional.one_hot(model(records).argmax(dim=1), 2).float()))
    same = torch.equal(attack.infer(asked(model)).answers["job"], labels.answers["job"])
    assert same == (kind is not CSMIA)


def test_what_only_training_gives_away_is_told_from_what_the_distribution_does() -> None:
    """The model remembers its training records, and says nothing of others that their inputs do not."""
    attack = AidedImputation(**QUICK)
    known = memory(TRAINING, ADVERSARY)  # to learn what remembering looks like, the adversary has to have seen it
    found = measure(attack.infer(asked(known, TRAINING)))
    assert found.metrics["job.training_balanced_accuracy"] > 0.9
    assert found.intervals["job.training_advantage"][0] > 0.2
    assert found.intervals["job.training_gap"][0] > 0.2
    assert abs(found.baselines["job.training_gap"]) < 0.1, "the guesser without the model finds both as easy"
    assert found.facts["job.advantage"].decides
    assert not found.facts["job.balanced_accuracy"].decides
    everywhere = measure(attack.infer(asked(memory(TRAINING, ADVERSARY, TEST), TRAINING)))
    assert everywhere.intervals["job.advantage"][0] > 0.2
    low, high = everywhere.intervals["job.training_gap"]
    assert low < 0 < high
    assert attack.infer(asked(known)).training_answers == {}, "no training records, no numbers about them"


def test_a_model_that_says_nothing_gains_nothing() -> None:
    silent = asked(lambda records: torch.zeros(len(records), 2))
    found = measure(AidedImputation(**QUICK).infer(silent))
    assert found.baselines["job.balanced_accuracy"] > 0.5, "the inputs tell"
    low, high = found.intervals["job.advantage"]
    assert low < 0 < high
    assert any("from the inputs alone" in warning for warning in found.warnings)
    assert found.facts["job.advantage"].harm == "higher"


def test_who_knows_the_inputs_does_not_know_the_attribute_among_them() -> None:
    """A sensitive attribute that is an input too is what is looked for, also where the others are known."""
    tables = [Records(table.x, table.y, JOB.codes(table)[:, None], table.ids, ("job",)) for table in (ADVERSARY, TEST)]
    attack = AttributeInference(knows_inputs=True, epochs=12, hidden=[16], lr=0.01, batch_size=128)
    found = measure(attack.infer(replace(asked(model), adversary=tables[0], test=tables[1])))
    assert 0.5 < found.baselines["job.inputs.balanced_accuracy"] < 0.9


def test_the_victim_is_asked_about_every_value_of_every_record() -> None:
    evidence = CSMIA(**QUICK).infer(asked(model, TRAINING))
    assert evidence.manifest["queries"] == 3 * (600 + 400 + 500)


def test_which_inputs_are_inferred() -> None:
    census = load_census(limit=300)
    variables = categorical(census)
    assert list(variables) == ["workclass", "marital-status", "occupation", "relationship"]
    assert CSMIA().chosen(("race", "sex"), variables) == list(variables), "no sensitive attribute is an input"
    assert CSMIA().chosen(("relationship",), variables) == ["relationship"]
    with pytest.raises(SettingError, match=r"`attack.attributes` must be one of workclass, .*; got race"):
        protocol.check(CSMIA(attributes=["race"]), (), census)
    parts = [Records.of(torch.rand(20, 4), torch.arange(20) % 2).replace(ids=torch.arange(20) + i) for i in (0, 20)]
    numbers = AmuletDataset(name="numbers", modality="tabular", train=parts[0], test=parts[1], num_classes=2)
    with pytest.raises(IncompatibleError, match="no categorical input"):
        protocol.check(LOMIA(), (), numbers)
    with pytest.raises(IncompatibleError, match="column of a table"):
        protocol.check(AidedImputation(), (), people("image"))


def test_variables_of_a_table() -> None:
    data: AmuletDataset = load_census(limit=300)
    variable = categorical(data)["marital-status"]
    first = data.feature_names.index("marital-status=Divorced")
    assert variable.start <= first < variable.end
    assert variable.name_of(first - variable.start) == "Divorced"
    assert variable.name_of(99) == "none of these"
    codes = variable.codes(data.test)
    assert torch.equal(data.test.x[:, variable.start : variable.end].argmax(dim=1), codes)
    changed = variable.completed(data.test, 2)
    assert (variable.codes(changed) == 2).all()
    assert torch.equal(variable.others(changed.x), variable.others(data.test.x))
    assert torch.equal(variable.completed(changed, 99).x[:, variable.start : variable.end], torch.zeros(300, 7))
    assert (variable.codes(variable.completed(changed, 99)) == 7).all()


def test_a_column_of_zeros_and_ones_is_a_variable() -> None:
    data = people("tabular")
    flags = data.train.x.clone(), data.test.x.clone()
    for part in flags:
        part[:, 1] = (part[:, 1] > 0.5).float()
    data = replace(data, train=data.train.replace(x=flags[0]), test=data.test.replace(x=flags[1]))
    found = categorical(data)
    assert list(found) == ["column_1", "kind"]
    assert torch.equal(found["column_1"].codes(data.test), flags[1][:, 1].long())
    assert found["column_1"].completed(data.test, 0).x[:, 1].sum() == 0
    assert categorical(people("image")) == {}
