"""Evasion of pictures: the budget in units of [0, 1] on bytes, batch by batch, on networks that convolve."""

from typing import Any

import pytest
import torch
from torch import Tensor

from amulet.assessment import Plan, assess
from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionPGD
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.training import DataSplits, MemoryStore, Recipe, Runtime, Victim
from tests.helpers.image_toys import TinyConv, faces

DATA = faces(300, 150)
STORE = MemoryStore()


def scene_of(data: AmuletDataset = DATA, **changes: Any) -> DataSplits:
    half = torch.arange(len(data.train)) < len(data.train) // 2
    runtime = Runtime(store=STORE)
    recipe = Recipe(
        architecture=Factory("tests.helpers.image_toys.TinyConv"),
        num_classes=data.num_classes,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=5,
        batch_size=32,
        runtime=runtime,
    ).changed(**changes)
    return DataSplits(
        data=data,
        victim_records=data.train.take(half),
        adversary_records=data.train.take(~half),
        stream=Stream(0),
        runtime=runtime,
        plain_recipe=recipe,
    )


def victim_of(splits: DataSplits) -> Victim:
    return Victim("undefended", splits.plain_recipe, splits.victim_records, splits.stream / "victim")


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 1.5)])
def test_the_ball_around_bytes(norm: Any, epsilon: float) -> None:
    """A change of 0.1 is one of 25.5 grey levels, not of a tenth of one."""
    torch.manual_seed(0)
    model, records = TinyConv((1, 12, 12), 2).eval(), DATA.test
    attack = EvasionPGD(epsilon=epsilon, norm=norm, steps=5, search_dtype="float32")
    found = attack.adversarial(model, records, Stream(0))
    changes = (found - records.x.float() / 255).flatten(1)
    lengths = changes.abs().amax(dim=1) if norm == "linf" else changes.norm(dim=1)
    assert found.min() >= 0
    assert found.max() <= 1
    assert lengths.max() <= epsilon + 1e-6
    assert lengths.max() > 0.9 * epsilon
    assert records.x.dtype == torch.uint8


def test_batches_join_to_the_whole() -> None:
    torch.manual_seed(0)
    model = TinyConv((1, 12, 12), 2).eval()
    attack = EvasionPGD(epsilon=0.1, steps=4, random_start=False, search_dtype="float32", batch_size=40)
    places, parts = zip(*attack.batches(model, DATA.test, Stream(0)), strict=True)
    assert [(place.start, place.stop) for place in places] == [(0, 40), (40, 80), (80, 120), (120, 150)]
    whole = attack.changed(batch_size=None).adversarial(model, DATA.test, Stream(0))
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


def test_no_more_than_a_batch_exists_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    splits, sizes = scene_of(), list[int]()
    plain = EvasionPGD.perturb

    def perturb(self: EvasionPGD, model: Any, x: Tensor, y: Tensor, **more: Any) -> Tensor:
        sizes.append(len(x))
        return plain(self, model, x, y, **more)

    monkeypatch.setattr(EvasionPGD, "perturb", perturb)
    attack = EvasionPGD(epsilon=0.3, steps=6, rel_step_size=0.25, batch_size=32, random_start=False)
    few = protocol.assess(victim_of(splits), attack, splits)
    assert max(sizes) == 32
    many = protocol.assess(victim_of(splits), attack.changed(batch_size=None), splits)
    assert torch.equal(few.robust_correct, many.robust_correct)
    assert few.distance.max() <= 0.3 + 1e-6
    assert few.clean_correct.double().mean() > 0.9
    assert few.robust_correct.double().mean() < few.clean_correct.double().mean()


def test_pictures_have_no_columns_that_could_be_immutable() -> None:
    for names in (["one_hot"], ["age"]):
        with pytest.raises(SettingError, match="must be null for faces, whose inputs are no named columns"):
            protocol.check(EvasionPGD(immutable=names), (), DATA)


def test_gradients_that_are_zero_are_seen_on_pictures_too() -> None:
    class Steps(TinyConv):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.mul(4).round() / 4)

    torch.manual_seed(0)
    splits = scene_of()
    victim = victim_of(splits)
    blind = Steps((1, 12, 12), 2).eval()
    blind.load_state_dict(victim.model.state_dict())
    victim.trained.model.forward = blind.forward
    evidence = protocol.assess(victim, EvasionPGD(epsilon=0.05, steps=3), splits)
    assert any("the model hides its gradients" in text for text in evidence.warnings)
    assert "largest budget" in evidence.invalid


@pytest.mark.parametrize("loss", ["cross_entropy", "trades"])
@pytest.mark.parametrize("model", ["tests.helpers.image_toys.TinyConv", "amulet.models.LinearNet"])
def test_adversarial_training_makes_pictures_robust(loss: str, model: str) -> None:
    settings: dict[str, Any] = {"hidden": [64]} if model.endswith("LinearNet") else {}
    outcome = assess(
        Plan(
            data=DATA,
            architecture=Factory(model, **settings),
            optimizer=Factory("torch.optim.Adam", lr=1e-2),
            epochs=15,
            batch_size=32,
            defenses=(AdversarialTrainingPGD(epsilon=0.2, steps=5, loss=loss),),  # type: ignore[arg-type]
            metrics=("utility", "evasion"),
            runtime=Runtime(store=STORE),
        )
    )
    undefended, defended = (outcome.metrics[victim] for victim in ("undefended", "defended"))
    assert outcome.manifest["evasion"]["undefended"]["epsilon"] == 0.2
    assert defended["robust_accuracy"] > undefended["robust_accuracy"] + 0.1
    assert defended["test_accuracy"] > 0.8


def test_records_of_floats_and_of_bytes_are_attacked_alike() -> None:
    torch.manual_seed(0)
    model = TinyConv((1, 12, 12), 2).eval()
    floats = Records.of(DATA.test.inputs(), DATA.test.y)
    attack = EvasionPGD(epsilon=0.05, steps=3)
    assert torch.equal(attack.adversarial(model, floats, Stream(0)), attack.adversarial(model, DATA.test, Stream(0)))
