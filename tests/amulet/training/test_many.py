"""Training many models at once: the same models as one after the other, whichever way is taken."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amulet.core import Diverged, Factory, Reporter, Stage, Stream
from amulet.datasets import Records
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import predict
from amulet.training import EarlyStopping, Recipe, Runtime
from amulet.training.parallel import many as many_module
from amulet.training.parallel.many import in_stacks, pays
from amulet.training.parallel.stacked import make_stack, stack_size, train_stack, why_not
from amulet.training.store import MemoryStore, Stored

HERE = __name__


class Conv(nn.Sequential):
    """BatchNorm and all."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(
            # A bias before BatchNorm has no gradient but rounding, which Adam would make steps of.
            nn.Conv2d(input_shape[0], 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, num_classes),
        )


class Branching(nn.Module):
    """Looks at its values to decide what to do."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(input_shape[0], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else self.layer(-x)


class Tied(nn.Sequential):
    """One weight, two names."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        width = input_shape[0]
        super().__init__(nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, num_classes))
        self[1].weight = self[0].weight


class Heard(Reporter):
    """Keeps the notes and counts the models."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.models = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        heard = self

        class Counting(Stage):
            def advance(self, steps: int = 1, **figures: float) -> None:
                heard.models += steps if unit == "model" else 0

        return Counting(name, total, unit)


def _records(n: int = 61, shape: tuple[int, ...] = (5,), seed: int = 0) -> Records:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *shape, generator=generator)
    return Records.of(x, (x.flatten(1).sum(dim=1) > x[0].numel() / 2).long())


def _recipe(**changes: Any) -> Recipe:
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=3,
        batch_size=20,
        precision="float32",
    )
    return recipe.changed(**changes)


def _same(one: Stored, other: Stored, tolerance: float) -> None:
    assert list(one.tensors) == list(other.tensors)
    for name, value in one.tensors.items():
        assert value.dtype == other.tensors[name].dtype
        torch.testing.assert_close(value, other.tensors[name], rtol=tolerance, atol=tolerance)
    assert one.meta["losses"] == pytest.approx(other.meta["losses"], rel=1e-3)
    assert one.meta["accuracy"] == pytest.approx(other.meta["accuracy"], abs=0.05)
    assert one.meta.keys() == other.meta.keys()


RECIPES: dict[str, tuple[Recipe, tuple[int, ...]]] = {
    "adam": (_recipe(), (5,)),
    "sgd with a schedule": (
        _recipe(
            optimizer=Factory("torch.optim.SGD", lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
            schedule=Factory("torch.optim.lr_scheduler.StepLR", step_size=1, gamma=0.5),
        ),
        (5,),
    ),
    "adamw": (_recipe(optimizer=Factory("torch.optim.AdamW", lr=1e-2)), (5,)),
    "batch norm": (_recipe(architecture=Factory(f"{HERE}.Conv"), epochs=2), (2, 6, 6)),
    "a batch of one avoided": (_recipe(batch_size=30), (5,)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_stack_makes_the_models_of_one_after_the_other(name: str) -> None:
    recipe, shape = RECIPES[name]
    tables = [_records(shape=shape, seed=k) for k in range(3)]
    streams = [Stream(0) / "shadow" / k for k in range(3)]
    assert why_not(recipe, tables[0]) is None
    stacked = train_stack(recipe, tables, streams, "shadows")
    for table, stream, stored in zip(tables, streams, stacked, strict=True):
        alone, _ = recipe.make(table, stream, recipe.key(table, stream))
        _same(stored, alone, 2e-4)


def test_a_stack_of_few_records_makes_as_many_updates() -> None:
    recipe = _recipe(min_updates=7)
    tables, streams = [_records(20, seed=k) for k in range(2)], [Stream(0) / k for k in range(2)]
    for table, stream, stored in zip(tables, streams, train_stack(recipe, tables, streams, ""), strict=True):
        _same(stored, recipe.make(table, stream, recipe.key(table, stream))[0], 2e-4)


def test_a_stack_learns_from_a_teacher_and_from_uint8() -> None:
    tables = [
        Records.of((_records(seed=k).x * 255).to(torch.uint8), _records(seed=k).y, targets=torch.randn(61, 2))
        for k in range(2)
    ]
    recipe, streams = _recipe(objective="logit_mse"), [Stream(k) for k in range(2)]
    stacked = train_stack(recipe, tables, streams, "stolen")
    for table, stream, stored in zip(tables, streams, stacked, strict=True):
        _same(stored, recipe.make(table, stream, recipe.key(table, stream))[0], 2e-4)


def test_a_stack_in_mixed_precision_is_near() -> None:
    recipe, tables, streams = _recipe(precision="amp"), [_records(seed=k) for k in range(2)], [Stream(1), Stream(2)]
    for table, stream, stored in zip(tables, streams, train_stack(recipe, tables, streams, ""), strict=True):
        alone = recipe.restore(recipe.make(table, stream, "")[0], table.shape, "", loaded=False).model
        other = recipe.restore(stored, table.shape, "", loaded=False).model
        assert (predict(alone, table) - predict(other, table)).abs().max() < 0.05
        recipe = recipe.changed(runtime=Runtime())


def test_what_a_model_becomes_does_not_depend_on_its_neighbours() -> None:
    tables, streams = [_records(seed=k) for k in range(4)], [Stream(k) for k in range(4)]
    in_four = train_stack(_recipe(), tables, streams, "")
    in_two = train_stack(_recipe(), tables[2:], streams[2:], "")
    for one, other in zip(in_four[2:], in_two, strict=True):
        _same(one, other, 1e-4)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (_recipe(defenses=(AdversarialTrainingPGD(),)), "defence"),
        (_recipe(early_stopping=EarlyStopping()), "early stopping"),
        (_recipe(optimizer=Factory("torch.optim.LBFGS")), "element by element"),
        (_recipe(architecture=Factory("amulet.models.LinearNet", dropout=0.5)), "random"),
        (_recipe(architecture=Factory(f"{HERE}.Branching")), "cannot be mapped over"),
        (_recipe(architecture=Factory(f"{HERE}.Tied")), "shared within the model"),
    ],
    ids=["defence", "early stopping", "optimizer", "dropout", "branching", "tied"],
)
def test_what_cannot_be_stacked_says_why(recipe: Recipe, says: str) -> None:
    assert says in (why_not(recipe, _records()) or "")


def test_stacks_fit_the_memory() -> None:
    recipe, table = _recipe(), _records()
    assert stack_size(recipe, table) == 64
    large = recipe.changed(architecture=Factory("amulet.models.LinearNet", hidden=[4000, 4000]))
    assert 1 <= stack_size(large, table) < 8


def test_a_diverging_model_of_a_stack_is_named() -> None:
    recipe = _recipe(optimizer=Factory("torch.optim.SGD", lr=1e20), epochs=4)
    with pytest.raises(Diverged, match=r"shadows: the loss became .* lower `optimizer.lr`"):
        train_stack(recipe, [_records(seed=k) for k in range(2)], [Stream(0), Stream(1)], "shadows")


def test_stacks_group_by_size_and_go_through_the_store() -> None:
    store = MemoryStore()
    recipe = _recipe(runtime=Runtime(store=store), epochs=1)
    tables = [_records(40), _records(50), _records(40, seed=1), _records(40, seed=2)]
    jobs = [(t, Stream(k), recipe.key(t, Stream(k))) for k, t in enumerate(tables)]
    found = dict(in_stacks(recipe, jobs, "shadows"))
    assert found.keys() == {key for _, _, key in jobs}
    for table, stream, key in jobs:
        stored = store.load(key)
        assert stored is not None
        _same(stored, recipe.changed(runtime=Runtime()).make(table, stream, key)[0], 2e-4)


def test_a_stack_trains_only_what_the_store_lacks_and_locks_in_order() -> None:
    locked: list[str] = []

    class Watched(MemoryStore):
        @contextmanager
        def lock(self, key: str) -> Iterator[None]:
            locked.append(key)
            yield

    recipe = _recipe(runtime=Runtime(store=Watched()), epochs=1)
    jobs = [(_records(seed=k), Stream(k), recipe.key(_records(seed=k), Stream(k))) for k in range(3)]
    mark = Stored({"model.x": torch.zeros(1)}, {"mark": True})
    recipe.runtime.store.save(jobs[1][2], mark)
    made = dict(make_stack(recipe, jobs, ""))
    assert locked == sorted(key for _, _, key in jobs)
    assert made[jobs[1][2]].meta == {"mark": True}
    assert made.keys() == {key for _, _, key in jobs}


@pytest.mark.parametrize(("workers", "processes"), [(1, True), (2, True), (2, False)])
def test_workers_give_the_same_bytes_and_keep_the_order(
    workers: int, processes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(*_: Any) -> bool:
        return processes

    monkeypatch.setattr(many_module, "pays", chosen)
    heard = Heard()
    recipe = _recipe(runtime=Runtime(workers=workers, reporter=heard))
    tables, streams = [_records(30 + k, seed=k) for k in range(4)], [Stream(k) for k in range(4)]
    models = recipe.fit_many([*tables, tables[0]], [*streams, streams[0]])
    assert heard.models == 4, "the fifth is the first"
    for model, table, stream in zip(models, [*tables, tables[0]], [*streams, streams[0]], strict=True):
        alone = _recipe().fit(table, stream)
        for name, value in model.state_dict().items():
            assert torch.equal(value, alone.state_dict()[name])
    again = recipe.produce_many([*tables, _records(9)], [*streams, Stream(9)])
    assert [trained.loaded for trained in again] == [True] * 4 + [False]
    assert any("4 of 5 loaded" in note for note in heard.notes)


def test_processes_are_started_for_what_takes_longer_than_that() -> None:
    small, large = _records(60), _records(12_000)
    assert not pays(_recipe(), small, 16)
    assert pays(_recipe(epochs=10), large, 16)
    assert pays(_recipe(epochs=100, min_updates=100), small, 16), "as many updates as of many records"
    pictures = _recipe(architecture=Factory("amulet.models.SmallCNN"), batch_size=60)
    assert pays(pictures.changed(epochs=100), _records(600, (1, 28, 28)), 4), "its products count"
    assert pays(_recipe(defenses=(AdversarialTrainingPGD(),)), small, 2), "what a defence costs is not known"


def test_the_way_is_chosen_by_device_and_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if on CUDA: a recipe that can be stacked is, another is trained in turn and the reason is told."""
    taken: list[str] = []

    def stacks(recipe: Recipe, jobs: Any, label: str) -> Iterator[tuple[str, Stored]]:
        taken.append("stacks")
        cpu = recipe.changed(runtime=dataclasses.replace(recipe.runtime, device=torch.device("cpu")))
        return in_stacks(cpu, jobs, label)

    def turns(recipe: Recipe, jobs: Any) -> Iterator[tuple[str, Stored]]:
        taken.append("turns")
        cpu = recipe.changed(runtime=dataclasses.replace(recipe.runtime, device=torch.device("cpu")))
        for records, stream, key in jobs:
            yield key, cpu.make(records, stream, key)[0]

    monkeypatch.setattr(many_module, "in_stacks", stacks)
    monkeypatch.setattr(many_module, "_in_turn", turns)
    heard = Heard()
    runtime = Runtime(device=torch.device("cuda"), reporter=heard, workers=2)
    tables, streams = [_records(seed=k) for k in range(2)], [Stream(k) for k in range(2)]

    def trained(recipe: Recipe) -> int:
        jobs = [(t, s, recipe.key(t, s)) for t, s in zip(tables, streams, strict=True)]
        return len(list(many_module._trained(recipe, jobs, "shadows")))  # pyright: ignore[reportPrivateUsage]

    assert trained(_recipe(runtime=runtime)) == 2
    assert trained(_recipe(runtime=runtime, early_stopping=EarlyStopping())) == 2
    assert taken == ["stacks", "turns"]
    assert heard.notes == [
        "shadows: trained one after the other, because early stopping ends each model's training at its own time"
    ]


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one entry for each of 2 tables, got 1"):
        _recipe().fit_many([_records(), _records()], [Stream(0)])
