"""Transfer: the examples beside torchattacks', and the surrogate that they are made for."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amulet.core import Factory, SettingError, Stream
from amulet.datasets import load_census
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionPGD, TransferAttack
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import predict
from amulet.training import DataSplits, MemoryStore, Recipe, Runtime, Victim
from tests.helpers.digit_toys import RECIPE as OF_DIGITS
from tests.helpers.digit_toys import digits

CENSUS = load_census(limit=1200)
HALF = len(CENSUS.train) // 2
RECIPE = Recipe(
    architecture=Factory("amulet.models.LinearNet", hidden=[32]),
    num_classes=2,
    optimizer=Factory("torch.optim.Adam", lr=1e-2),
    epochs=6,
    runtime=Runtime(store=MemoryStore()),
)
SPLITS = DataSplits(
    data=CENSUS,
    victim_records=CENSUS.train.take(torch.arange(HALF)),
    adversary_records=CENSUS.train.take(torch.arange(HALF, len(CENSUS.train))),
    stream=Stream(0),
    runtime=RECIPE.runtime,
    plain_recipe=RECIPE,
)
VICTIM = Victim("undefended", RECIPE, SPLITS.victim_records, Stream(0) / "victim")


class Opaque(nn.Module):
    """A victim that gives classes alone: whoever follows its gradients or logits has nothing."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x.detach())
        return torch.nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).float()


def test_examples_are_those_of_torchattacks() -> None:
    torchattacks = pytest.importorskip("torchattacks", reason="`make` installs it")
    data = digits()
    surrogate, victim = (OF_DIGITS.fit(data.train, Stream(seed)) for seed in (1, 2))
    other = torchattacks.MIFGSM(surrogate, eps=0.1, alpha=0.01, steps=10, decay=1.0)
    theirs = other(data.test.x, data.test.y)
    ours = TransferAttack(epsilon=0.1, surrogate=surrogate).adversarial(victim, data.test, Stream(0))
    right = predict(victim, data.test.x).argmax(1) == data.test.y
    same = (ours - theirs).abs().flatten(1).amax(1) < 1e-5
    assert same[right].double().mean() > 0.97, "signs of sums in another order may differ"
    assert torch.equal(ours[~right], data.test.x[~right])


def test_the_surrogate_needs_answers_alone_and_finds_less_than_gradients() -> None:
    attack = TransferAttack(epsilon=0.05)
    bound, blind = attack.bound(VICTIM, SPLITS), Opaque(VICTIM.model)
    seen, hidden = (bound.adversarial(model, CENSUS.test, Stream(0)) for model in (VICTIM.model, blind))
    assert torch.equal(seen, hidden)
    transfer, gradient = (
        protocol.attempt(VICTIM, one, SPLITS).robust_correct.sum() for one in (attack, EvasionPGD(epsilon=0.05))
    )
    clean = (VICTIM.logits(CENSUS.test).argmax(1) == CENSUS.test.y).sum()
    assert gradient <= transfer < clean - 10
    assert attack.surrogate is None, "what is bound is a copy"


@pytest.mark.parametrize("answers", ["victim", "true"])
def test_the_surrogate_learns_the_answers_that_are_chosen(answers: Any) -> None:
    backwards = Victim("undefended", RECIPE, SPLITS.victim_records.replaced(y=1 - SPLITS.victim_records.y), Stream(0))
    surrogate = TransferAttack(answers=answers).bound(backwards, SPLITS).surrogate
    assert surrogate is not None
    agrees = (predict(surrogate, CENSUS.test).argmax(1) == CENSUS.test.y).double().mean()
    assert (agrees < 0.4) == (answers == "victim")


def test_who_knows_the_defence_trains_with_it_and_trains_once() -> None:
    defended = RECIPE.changed(defenses=(AdversarialTrainingPGD(epsilon=0.1, steps=2),))
    victim = Victim("defended", defended, SPLITS.victim_records, Stream(0) / "victim")

    def weights(knows: bool) -> Tensor:
        surrogate = TransferAttack(answers="true", knows_defense=knows).bound(victim, SPLITS).surrogate
        assert surrogate is not None
        return next(surrogate.parameters()).detach()

    plain, knowing = weights(False), weights(True)
    assert not torch.equal(plain, knowing)
    stream = SPLITS.attack_stream("evasion", "transfer")
    assert torch.equal(plain, next(RECIPE.fit(SPLITS.adversary_records, stream).parameters()))
    assert defended.produce(SPLITS.adversary_records, stream).model is not None
    assert torch.equal(knowing, weights(True))


def test_without_a_surrogate_there_is_nothing_to_transfer() -> None:
    with pytest.raises(SettingError, match="`surrogate` must be given"):
        TransferAttack(epsilon=0.05).adversarial(VICTIM.model, CENSUS.test, Stream(0))
