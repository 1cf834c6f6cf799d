"""The training loop, recipes, streams and the store in memory."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amulet.core import AmuletError, DataError, Diverged, Factory, SettingError, Stream
from amulet.core.errors import in_range
from amulet.datasets import Records
from amulet.models import LinearNet, evaluating, features, frozen, predict
from amulet.training import (
    Defense,
    EarlyStopping,
    Hook,
    Loss,
    LossFunction,
    MemoryStore,
    Prepared,
    Recipe,
    Runtime,
    Training,
    Victim,
    train,
)
from amulet.training import recipe as recipe_module
from amulet.training.loop import LOOP_STREAMS


def blobs(n: int = 300, seed: int = 0, dim: int = 4) -> Records:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = (0.5 + 0.2 * (2 * y - 1).unsqueeze(1) + 0.1 * torch.randn(n, dim, generator=generator)).clamp(0, 1)
    return Records.of(x, y)


def recipe(**changes: object) -> Recipe:
    base = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=3,
        batch_size=32,
    )
    return base.changed(**changes)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_streams_depend_on_seed_and_name_alone() -> None:
    run = Stream(3)
    first = torch.rand(4, generator=(run / "victim").generator())
    (run / "attack").generator()
    torch.rand(100)
    assert torch.equal(first, torch.rand(4, generator=(Stream(3) / "victim").generator()))
    others = [Stream(4) / "victim", run / "attack", run / "victim" / "x", Stream(3, ("victimx",))]
    assert all(not torch.equal(first, torch.rand(4, generator=o.generator())) for o in others)
    assert (Stream(1) / "a" / "b").seed != (Stream(1) / "ab").seed


def test_governing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with (Stream(0) / "x").seed_global():
        torch.rand(50)
    assert torch.equal(torch.rand(3), expected)


def test_the_loop_equals_a_plain_pytorch_loop() -> None:
    """Same weights and batches through torch's own DataLoader-free textbook loop."""
    records, stream = blobs(96), Stream(0) / "victim"
    ours = recipe(optimizer=Factory("torch.optim.SGD", lr=0.1, momentum=0.9)).fit(records, stream)
    model = recipe().build(records.shape, stream)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    order = (stream / "batches").generator()
    for _ in range(3):
        for index in torch.randperm(96, generator=order).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(records.x[index]), records.y[index]).backward()
            optimizer.step()
    assert torch.allclose(weights(ours), weights(model), atol=1e-6)


def test_few_records_come_again_until_an_epoch_has_its_updates() -> None:
    """As a plain loop over one random order after the other, cut off at the last update; schedules count epochs."""
    records, stream = blobs(40), Stream(0) / "thief"
    sgd, halved = Factory("torch.optim.SGD", lr=0.1), Factory("torch.optim.lr_scheduler.StepLR", step_size=1, gamma=0.5)
    ours = recipe(optimizer=sgd, schedule=halved, min_updates=5).produce(records, stream)
    assert len(ours.report["losses"]) == 3
    model = recipe().build(records.shape, stream)
    order = (stream / "batches").generator()
    for epoch in range(3):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1 * 0.5**epoch)
        parts = [part for _ in range(3) for part in torch.randperm(40, generator=order).split(32)]
        for index in parts[:5]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(records.x[index]), records.y[index]).backward()
            optimizer.step()
    assert torch.allclose(weights(ours.model), weights(model), atol=1e-6)


def test_enough_records_are_seen_once_an_epoch_as_ever() -> None:
    models = [recipe(min_updates=least).fit(blobs(), 0) for least in (0, 10)]
    assert torch.equal(weights(models[0]), weights(models[1]))


def test_training_learns_and_reports() -> None:
    trained = recipe(epochs=10).produce(blobs(), 0)
    accuracy = (predict(trained.model, blobs(seed=1)).argmax(1) == blobs(seed=1).y).double().mean().item()
    assert accuracy > 0.95
    losses = trained.report["losses"]
    assert (len(losses), trained.report["epochs"], trained.report["records"]) == (10, 10, 300)
    assert losses[-1] < losses[0] / 2
    assert not trained.model.training
    assert all(p.grad is None for p in trained.model.parameters())


def test_the_reported_loss_is_the_epochs_not_the_last_batchs() -> None:
    records = blobs(100)
    model = recipe().build(records.shape, Stream(0))
    before = nn.functional.cross_entropy(model(records.x), records.y).item()
    still = Factory("torch.optim.SGD", lr=1e-12)
    report = train(model, records, optimizer=still, epochs=1, batch_size=33, stream=Stream(0))
    assert report["loss"] == pytest.approx(before, rel=1e-4)
    assert report["accuracy"] == pytest.approx((model(records.x).argmax(1) == records.y).double().mean().item())


def test_a_last_batch_of_one_does_not_break_batch_norm() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    seen: list[int] = []

    class Count(Hook):
        def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
            seen.append(len(batch))
            return inner(batch)

    train(
        Normed(),
        blobs(65),
        optimizer=Factory("torch.optim.SGD", lr=0.1),
        epochs=1,
        batch_size=32,
        stream=Stream(0),
        hooks=[Count()],
    )
    assert seen == [32, 33]


def test_divergence_stops_with_what_to_change() -> None:
    with pytest.raises(
        Diverged, match=r"loss became (nan|inf) in epoch \d+ of 30; lower `optimizer.lr` \(1e\+30 now\)"
    ):
        recipe(optimizer=Factory("torch.optim.SGD", lr=1e30), epochs=30).fit(blobs(), 0)


def test_data_that_are_not_finite_are_named_as_the_cause() -> None:
    records = blobs()
    x = records.x.clone()
    x[3:5, 1] = float("nan")
    with pytest.raises(
        DataError, match=r"loss became nan because 2 of 300 training records have values that are not f"
    ):
        recipe().fit(records.replace(x=x), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must satisfy 1 <= epochs, got 0"),
        ({"batch_size": 0}, "`batch_size` must satisfy"),
        ({"objective": "mse"}, "`objective` must be one of cross_entropy"),
        ({"optimizer": Factory("torch.optim.Adan")}, "cannot be imported"),
        (
            {"optimizer": Factory("torch.optim.Adam", momentum=0.9)},
            "`optimizer`: torch.optim.Adam cannot be built",
        ),
        (
            {"architecture": Factory("torch.nn.Linear", in_features=5, out_features=2)},
            "does not fit inputs of shape",
        ),
        (
            {"architecture": Factory("torch.nn.Linear", in_features=4, out_features=3)},
            "must return logits of shape",
        ),
        ({"architecture": Factory("builtins.dict")}, "must make a torch.nn.Module"),
        ({"architecture": Factory("torch.nn.Identity"), "num_classes": 4}, "no weights to train"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], message: str) -> None:
    def attempt() -> None:
        made = recipe(**changes)
        made.try_out(blobs())
        made.fit(blobs(), 0)

    with pytest.raises(SettingError, match=message):
        attempt()


def test_in_range_refuses_nan_and_none() -> None:
    for value in (float("nan"), None):
        with pytest.raises(AmuletError):
            in_range("epsilon", value, 0, 1)


def test_schedule_and_early_stopping() -> None:
    stopping = EarlyStopping(fraction=0.2, patience=2)
    noisy = blobs(200)
    noisy = noisy.replace(y=torch.randint(0, 2, (200,), generator=torch.Generator().manual_seed(0)))
    report = recipe(epochs=200, early_stopping=stopping).produce(noisy, 0).report
    assert report["epochs"] < 200
    assert report["records"] == 160
    rates: list[float] = []

    class Rates(Hook):
        def epoch_end(self, training: Training) -> None:
            rates.append(training.optimizer.param_groups[0]["lr"])

    train(
        recipe().build((4,), Stream(0)),
        blobs(),
        optimizer=Factory("torch.optim.SGD", lr=0.1),
        schedule=Factory("torch.optim.lr_scheduler.StepLR", step_size=1, gamma=0.5),
        epochs=3,
        batch_size=64,
        stream=Stream(0),
        hooks=[Rates()],
    )
    assert rates == pytest.approx([0.05, 0.025, 0.0125])


def test_early_stopping_keeps_the_best_epochs_weights() -> None:
    records = blobs(200).replace(y=torch.randint(0, 2, (200,), generator=torch.Generator().manual_seed(0)))
    trained = recipe(epochs=60, early_stopping=EarlyStopping(fraction=0.3, patience=5)).produce(records, 0)
    losses: list[float] = []
    for epochs in range(1, trained.report["epochs"] + 1):  # the same training, stopped by hand
        held = recipe(epochs=epochs, early_stopping=EarlyStopping(fraction=0.3, patience=1000)).produce(records, 0)
        losses.append(held.report["best_validation_loss"])
    assert trained.report["best_validation_loss"] == min(losses)


def test_early_stopping_asks_the_hooks() -> None:
    asked: list[tuple[int, bool]] = []

    class Judge(Hook):  # of the whole part held out the losses are what it says
        def validation(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
            asked.append((len(batch), training.model.training))
            return inner(batch)._replace(values=torch.full((len(batch),), float(training.epoch)))

    model = recipe().build((4,), Stream(0))
    settings: dict[str, Any] = {"optimizer": Factory("torch.optim.SGD", lr=0.1), "batch_size": 64, "stream": Stream(0)}
    stopping = EarlyStopping(fraction=0.2, patience=2)
    report = train(model, blobs(), epochs=9, hooks=[Judge()], early_stopping=stopping, **settings)
    assert asked == [(60, False)] * 3
    assert (report["epochs"], report["best_validation_loss"]) == (3, 0)
    first = recipe().build((4,), Stream(0))
    train(first, blobs(), epochs=1, hooks=[Judge()], early_stopping=stopping, **settings)
    assert torch.equal(weights(model), weights(first))


def test_distillation_objectives_follow_the_teacher() -> None:
    teacher = recipe(epochs=10).fit(blobs(), 0)
    x = torch.rand(400, 4, generator=torch.Generator().manual_seed(5))
    taught = Records.of(x, torch.zeros(400, dtype=torch.int64)).replace(targets=predict(teacher, x))
    for objective in ("logit_mse", "kl", "hard_labels"):
        student = recipe(epochs=30, objective=objective).fit(taught, 1)
        agreement = (predict(student, x).argmax(1) == predict(teacher, x).argmax(1)).double().mean()
        assert agreement > 0.95, objective
    with pytest.raises(ValueError, match="`targets` must hold the teacher's logits"):
        recipe(objective="kl").fit(blobs(), 0)


def test_a_model_is_trained_once_for_each_key() -> None:
    store = MemoryStore()
    made = recipe(runtime=Runtime(store=store))
    first, again = made.produce(blobs(), 0), made.produce(blobs(), 0)
    assert (first.loaded, again.loaded) == (False, True)
    assert torch.equal(weights(first.model), weights(again.model))
    with torch.no_grad():
        next(again.model.parameters()).add_(1)
    assert torch.equal(weights(made.fit(blobs(), 0)), weights(first.model)), "the store gives copies"


def test_everything_that_determines_a_model_is_in_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    records, stream = blobs(), Stream(0) / "victim"
    base = recipe()
    variants = [
        base.changed(epochs=4),
        base.changed(batch_size=16),
        base.changed(min_updates=20),
        base.changed(objective="kl"),
        base.changed(precision="amp"),
        base.changed(optimizer=Factory("torch.optim.Adam", lr=2e-2)),
        base.changed(schedule=Factory("torch.optim.lr_scheduler.StepLR", step_size=1)),
        base.changed(architecture=Factory("amulet.models.LinearNet", hidden=[16, 16])),
        base.changed(early_stopping=EarlyStopping()),
    ]
    keys = [
        base.key(records, stream),
        base.key(blobs(seed=1), stream),
        base.key(records, Stream(1) / "victim"),
    ]
    keys += [base.key(records, Stream(0) / "other"), *(v.key(records, stream) for v in variants)]
    assert len(set(keys)) == len(keys)

    def another(device: torch.device) -> str:
        return "another arithmetic"

    monkeypatch.setattr(recipe_module, "fast_dtype", another)
    assert base.key(records, stream) not in keys, "what `auto` means on the machine"
    monkeypatch.undo()
    elsewhere = base.changed(runtime=Runtime(workers=4))
    assert elsewhere.key(records, stream) == keys[0], "where it is trained does not matter"


def test_many_models_equal_single_ones_in_workers_too() -> None:
    parts = [blobs(64, seed=i) for i in range(3)]
    streams = [Stream(0) / "shadow" / i for i in range(3)]
    single = [weights(recipe().fit(p, s)) for p, s in zip(parts, streams, strict=True)]
    for workers in (1, 2):
        runtime = Runtime(workers=workers)
        many = recipe(runtime=runtime).produce_many(parts, streams)
        assert all(torch.equal(weights(m.model), w) for m, w in zip(many, single, strict=True))
        more = recipe(runtime=runtime).produce_many([*parts, blobs(64, seed=9)], [*streams, Stream(0) / "shadow" / 3])
        assert [m.loaded for m in more] == [True, True, True, False], "only the new one is trained"


def test_initial_weights_and_batches_do_not_depend_on_the_defence() -> None:
    class Nothing(Hook):
        pass

    plain = recipe().build((4,), Stream(0) / "victim")
    assert torch.equal(weights(plain), weights(recipe(epochs=9).build((4,), Stream(0) / "victim")))
    orders: list[list[int]] = []

    class Order(Hook):
        def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
            orders[-1] += batch.ids.tolist()
            return inner(batch)

    for hooks in ([Order()], [Nothing(), Order()]):
        orders.append([])
        train(
            recipe().build((4,), Stream(0)),
            blobs(),
            optimizer=Factory("torch.optim.SGD", lr=0.1),
            epochs=2,
            batch_size=64,
            stream=Stream(0),
            hooks=hooks,
        )
    assert orders[0] == orders[1]
    assert orders[0][:300] != orders[0][300:], "each epoch has its own order"


def test_the_training_draws_from_the_streams_that_are_reserved_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[str] = set()
    below = Stream.__truediv__

    def noted(stream: Stream, name: str | int) -> Stream:
        drawn.add(str(name))
        return below(stream, name)

    monkeypatch.setattr(Stream, "__truediv__", noted)
    recipe(epochs=1, early_stopping=EarlyStopping()).fit(blobs(50), Stream(0))
    assert drawn == set(LOOP_STREAMS)


@pytest.mark.parametrize("own", LOOP_STREAMS)
def test_no_defence_gets_a_stream_of_the_training(own: str) -> None:
    class Plain(Defense):
        """Changes nothing."""

        risk = "evasion"
        stage = "in"

    named: type[Defense] = type(own.title(), (Plain,), {})
    assert named().name == f"defense.{own}"
    assert Plain().name == "plain"
    assert recipe(defenses=(named(), Plain())).training_defenses

    class Same(Plain):
        """Takes a name that is taken."""

        @property
        def name(self) -> str:
            return own

    for taken in ((Same(),), (Plain(), type("PLAIN", (Plain,), {})())):
        with pytest.raises(SettingError, match="`defenses` must have names of their own"):
            recipe(defenses=taken)


def test_a_defence_before_training_decides_by_the_plain_recipe_on_what_others_left() -> None:
    asked: list[tuple[str, int, int, str]] = []

    class Drop(Defense):
        """Takes ten records out."""

        risk = "poisoning"
        stage = "before"

        def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
            key = recipe.key(records, stream)
            asked.append((self.name, len(recipe.defenses), len(records), key))
            return Prepared(records.take(torch.arange(10, len(records))))

    class DropMore(Drop):
        """So does this one."""

    records, stream = blobs(100), Stream(0) / "victim"
    defended = recipe(defenses=(Drop(), DropMore()))
    assert defended.produce(records, stream).report["records"] == 80
    left = records.take(torch.arange(10, 100))
    assert asked == [
        ("drop", 0, 100, recipe().key(records, stream)),
        ("dropmore", 0, 90, recipe().key(left, stream)),
    ]


def test_hooks_wrap_each_other_and_can_take_over_the_gradient() -> None:
    log: list[str] = []

    class Named(Hook):
        def __init__(self, name: str) -> None:
            self.name = name

        def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
            log.append(f"{self.name} in")
            result = inner(batch)
            log.append(f"{self.name} out")
            return Loss(result.values * 2, result.logits)

    class Own(Hook):
        def batches(self, training: Training, generator: torch.Generator) -> Iterator[Tensor]:
            yield torch.tensor([0, 1, 2])

        def backward(self, training: Training, batch: Records, loss: LossFunction) -> Loss:
            training.optimizer.zero_grad()
            result = loss(batch)
            for p in training.model.parameters():
                p.grad = torch.zeros_like(p)
            return result

    model = recipe().build((4,), Stream(0))
    before = weights(model)
    report = train(
        model,
        blobs(),
        optimizer=Factory("torch.optim.SGD", lr=0.1),
        epochs=1,
        batch_size=64,
        stream=Stream(0),
        hooks=[Named("outer"), Named("inner"), Own()],
    )
    assert log == ["outer in", "inner in", "inner out", "outer out"]
    assert torch.equal(weights(model), before)
    assert report["loss"] == pytest.approx(4 * nn.functional.cross_entropy(model(blobs().x[:3]), blobs().y[:3]).item())


def test_dropout_follows_the_models_stream() -> None:
    made = recipe(architecture=Factory("amulet.models.LinearNet", hidden=[16], dropout=0.5))
    torch.manual_seed(1)
    first = weights(made.fit(blobs(), 0))
    torch.manual_seed(2)
    assert torch.equal(first, weights(made.fit(blobs(), 0)))


def test_amp_trains_close_to_float32() -> None:
    accurate = recipe(epochs=10).produce(blobs(), 0).report
    mixed = recipe(epochs=10, precision="amp").produce(blobs(), 0).report
    assert mixed["loss"] == pytest.approx(accurate["loss"], abs=0.05)
    assert mixed["loss"] != accurate["loss"]


def test_evaluating_and_frozen_give_everything_back() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[1].eval()
    next(model.parameters()).requires_grad_(False)
    with evaluating(model), frozen(model):
        assert not any(m.training for m in model.modules())
        assert not any(p.requires_grad for p in model.parameters())
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


def test_features_are_what_enters_the_last_layer() -> None:
    model = LinearNet((4,), 2, hidden=(8, 5))
    records = blobs(50)
    found = features(model, records, batch_size=7)
    assert found.shape == (50, 5)
    assert torch.allclose(model.head(found), predict(model, records), atol=1e-6)

    class Users(nn.Module):  # nothing of ours; the head is not the last attribute
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(6, 2)
            self.body = nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.body(x).relu())

    users = Users()
    assert torch.allclose(users.out(features(users, records)), users(records.x), atol=1e-6)


def _asked_again(*_: object) -> None:
    pytest.fail("asked again")


def test_victim_asks_its_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    victim = Victim("undefended", recipe(), blobs(), Stream(0) / "victim")
    first = victim.logits(blobs(seed=1))
    monkeypatch.setattr("amulet.training.victim.predict", _asked_again)
    assert victim.logits(blobs(seed=1)) is first
    other = dataclasses.replace(victim, records=blobs(seed=2), _known={})
    assert other.trained.key != victim.trained.key
