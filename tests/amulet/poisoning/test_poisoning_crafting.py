"""Records that the adversary computes: against ART where it has the same search, else against plain autograd."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import SettingError, Stream
from amulet.datasets import Records
from amulet.poisoning.attacks import Adversary, CleanLabel, WitchesBrew
from amulet.poisoning.attacks.crafting import harder, matching
from amulet.training import MemoryStore


def network(inputs: int = 12, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, classes)).eval()


def drawn(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))


def gradients(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    parts = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


def art_classifier(model: nn.Module, shape: tuple[int, ...]) -> Any:
    pytest.importorskip("art")
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(model, nn.CrossEntropyLoss(), shape, 3, clip_values=(0, 1), device_type="cpu")


def test_ascent_is_projected_gradient_descent_of_art() -> None:
    model, x = network(), drawn(30, 1, 3, 4)
    y = torch.arange(30) % 3
    classifier = art_classifier(model, (1, 3, 4))
    from art.attacks.evasion import ProjectedGradientDescentPyTorch

    peer = ProjectedGradientDescentPyTorch(classifier, eps=0.1, eps_step=0.025, max_iter=10, verbose=False)
    expected = peer.generate(x.numpy(), F.one_hot(y, 3).numpy())
    found = harder(model, x, y, 0.1, 10, torch.ones(1, 3, 4))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert F.cross_entropy(model(found), y) > F.cross_entropy(model(x), y)


def test_ascent_leaves_alone_what_it_is_not_given() -> None:
    model, x, where = network(), drawn(5, 12), torch.zeros(12)
    where[:3] = 1
    found = harder(model, x, torch.zeros(5, dtype=torch.int64), 0.2, 5, where)
    assert torch.equal(found[:, 3:], x[:, 3:])
    assert 0 < (found - x).abs().max() <= 0.2 + 1e-6
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def match(model: nn.Module, x: Tensor, y: Tensor, target: Tensor, wanted: Tensor, **more: Any) -> tuple[Tensor, float]:
    settings: dict[str, Any] = {
        "epsilon": 0.1,
        "steps": 60,
        "where": torch.ones(x.shape[1:]),
        "start": torch.zeros_like(x),
        **more,
    }
    return matching(model, x, y, target, wanted, **settings)


def test_gradients_are_matched_as_well_as_by_art() -> None:
    model, x, target = network(), drawn(20, 1, 3, 4), drawn(1, 1, 3, 4, seed=1)
    y, wanted = torch.ones(20, dtype=torch.int64), torch.tensor([1])
    found, loss = match(model, x, y, target, wanted)
    aim = gradients(model, target, wanted)

    def cosine(inputs: Tensor) -> float:
        return float(F.cosine_similarity(aim, gradients(model, inputs, y), dim=0))

    assert 1 - loss == pytest.approx(cosine(found), abs=1e-5)
    assert 1 - cosine(found) < (1 - cosine(x)) / 2
    assert (found - x).abs().max() <= 0.1 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert all(p.grad is None for p in model.parameters())

    classifier = art_classifier(model, (1, 3, 4))
    from art.attacks.poisoning import GradientMatchingAttack

    with torch.random.fork_rng():
        torch.manual_seed(0)
        peer = GradientMatchingAttack(
            classifier, percent_poison=1.0, epsilon=0.1, max_trials=1, max_epochs=60, verbose=0
        )
        state = np.random.get_state()  # noqa: NPY002 - ART draws which records it poisons
        try:
            theirs, _ = peer.poison(target.numpy(), wanted.numpy(), x.numpy(), y.numpy())
        finally:
            np.random.set_state(state)  # noqa: NPY002
    assert cosine(found) > cosine(torch.as_tensor(theirs)) - 0.01


def test_matching_keeps_the_best_iterate_and_the_columns_that_may_not_change() -> None:
    model, x, target = network(), drawn(6, 12), drawn(1, 12, seed=1)
    y, wanted = torch.ones(6, dtype=torch.int64), torch.tensor([1])
    where = torch.zeros(12)
    where[::2] = 1
    found, few = match(model, x, y, target, wanted, steps=8, where=where)
    assert torch.equal(found[:, 1::2], x[:, 1::2])
    _, more = match(model, x, y, target, wanted, steps=80, where=where)
    _, none = match(model, x, y, target, wanted, steps=1, where=where)
    assert more <= few <= none


def pictures(n: int = 60, *, scaled: bool) -> Records:
    x = drawn(n, 1, 3, 4)
    return Records.of((x * 255).round().to(torch.uint8) if scaled else x, torch.arange(n) % 3)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_clean_label_record_is_hard_to_recognise_and_has_the_trigger(scaled: bool) -> None:
    records, model = pictures(scaled=scaled), network()
    attack = CleanLabel(records, model, rate=0.2, target=1, epsilon=0.1, size=1)
    after = attack.attack()
    assert attack.poisoned is not None
    chosen = torch.isin(records.ids, attack.poisoned.ids)
    assert torch.equal(after.y, records.y)
    assert (records.y[chosen] == 1).all()
    (trigger,) = attack.triggers_for(records)
    assert trigger.present(after)[chosen].all()
    rest = torch.ones(3, 4, dtype=torch.bool)
    rest[2, 3] = False
    off = (after.inputs() - records.inputs())[chosen][:, :, rest].abs().max()
    assert 0.09 < off <= 0.1 + 0.51 / 255
    labels = records.y[chosen]
    assert F.cross_entropy(model(after.inputs()[chosen]), labels) > F.cross_entropy(
        model(trigger.on(records.inputs()[chosen])), labels
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_witches_brew_by_hand(scaled: bool) -> None:
    records, model = pictures(scaled=scaled), network()
    test = pictures(30, scaled=scaled)
    attack = WitchesBrew(records, model, test, rate=0.2, target=1, targets=3, epsilon=0.1, steps=30)
    after = attack.attack()
    assert attack.poisoned is not None
    assert attack.promise(records.y).broken(records, attack.poisoned) == ""
    aim = attack.aim(attack.by_hand(records), test)
    assert aim.targets is not None
    assert int(aim.counts.sum()) == len(aim.targets) == 3
    assert (aim.targets.y != 1).all()
    for number in range(3):
        ids = attack.poisoned.ids[attack.poisoned.which == number]
        assert len(ids) == 4
        mine, labels = torch.isin(records.ids, ids), torch.ones(4, dtype=torch.int64)
        wanted = gradients(model, aim.targets.inputs()[number : number + 1], torch.tensor([1]))
        before, now = (gradients(model, part.inputs()[mine], labels) for part in (records, after))
        assert F.cosine_similarity(wanted, now, dim=0) > F.cosine_similarity(wanted, before, dim=0)
    with pytest.raises(SettingError, match="`model` must be the adversary's surrogate"):
        WitchesBrew(records, rate=0.2, targets=2).attack()


def test_a_brew_is_made_once() -> None:
    records, calls = pictures(scaled=False), list[int]()

    def train(*_: Any) -> nn.Module:
        calls.append(1)
        return network()

    adversary = Adversary(records=records, stream=Stream(0), num_classes=3, train=train, store=MemoryStore(), key="a")
    attack = WitchesBrew(rate=0.1, targets=2, steps=3)
    aim = attack.aim(adversary, records)
    first, second = (attack.poison(records, aim, adversary) for _ in range(2))
    assert len(calls) == 1
    assert torch.equal(first.records.x, second.records.x)
    attack.changed(steps=4).poison(records, aim, adversary)
    assert len(calls) == 2


def test_the_best_of_several_starts_counts() -> None:
    records, model = pictures(scaled=False), network()
    target, wanted = drawn(1, 1, 3, 4, seed=1), torch.tensor([1])
    losses: list[float] = []
    for restarts in (1, 4):
        attack = WitchesBrew(records, model, rate=0.1, target=1, targets=1, epsilon=0.3, steps=2, restarts=restarts)
        after = attack.attack()
        assert attack.poisoned is not None
        aim = attack.aim(attack.by_hand(records), records)
        assert aim.targets is not None
        target = aim.targets.inputs()
        mine = torch.isin(records.ids, attack.poisoned.ids)
        slope = gradients(model, after.inputs()[mine], records.y[mine])
        losses.append(1 - float(F.cosine_similarity(gradients(model, target, wanted), slope, dim=0)))
    assert losses[1] <= losses[0] + 1e-6
