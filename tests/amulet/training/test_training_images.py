"""Training on images: augmentation, memory layout, precision, uint8 tables."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from amulet.core import Factory, SettingError, Stream
from amulet.datasets import Records
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.membership_inference.defenses import DPSGD
from amulet.models import SmallCNN, VisionTransformer, arithmetic, predict
from amulet.models.arithmetic import convolutional, lay_out
from amulet.training import EarlyStopping, Hook, Loss, LossFunction, Recipe, Training, loop, train
from amulet.training.augmentation import Augmentation, Augmenter, FlipCrop
from tests.helpers.replacements import gives

FLIP_CROP = Factory("amulet.training.augmentation.FlipCrop", padding=2)
SGD = Factory("torch.optim.SGD", lr=0.05)


def images(n: int = 40, size: int = 8, channels: int = 1) -> Records:
    """Bright above or bright below, uint8."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    x = torch.randint(0, 60, (n, channels, size, size), generator=generator)
    x[y == 0, :, : size // 2] += 150
    x[y == 1, :, size // 2 :] += 150
    return Records.of(x.to(torch.uint8), y)


def recipe(**changes: Any) -> Recipe:
    base = Recipe(
        architecture=Factory("amulet.models.SmallCNN", channels=[4, 4], convs=1),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=0.01),
        epochs=2,
        batch_size=16,
    )
    return base.changed(**changes)


class Seen(Hook):
    """What the batches are when this hook gets them."""

    def __init__(self) -> None:
        self.x: list[Tensor] = []
        self.ids: list[Tensor] = []

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        self.x.append(batch.inputs())
        self.ids.append(batch.ids)
        return inner(batch)


def trained(records: Records, *hooks: Hook, **changes: Any) -> nn.Module:
    settings: dict[str, Any] = {"optimizer": SGD, "epochs": 1, "batch_size": 16, "stream": Stream(0)}
    model = recipe().build(records.shape, Stream(0))
    train(model, records, hooks=hooks, **{**settings, **changes})
    return model


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3), st.booleans())
def test_each_record_is_one_of_its_own_crops(n: int, height: int, width: int, padding: int, flip: bool) -> None:
    x = torch.randint(1, 256, (n, 2, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    made = FlipCrop(padding=padding, flip=flip).augment(x, torch.Generator().manual_seed(0))
    assert made.dtype == torch.uint8
    padded = nn.functional.pad(x, (padding,) * 4)
    moves = range(2 * padding + 1)
    for before, after in zip(padded, made, strict=True):
        crops = [before[:, i : i + height, j : j + width] for i, j in itertools.product(moves, moves)]
        crops += [crop.flip(2) for crop in crops] if flip else []
        assert any(torch.equal(after, crop) for crop in crops)


def test_records_are_moved_and_mirrored_apart_from_each_other() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(400, 1, 8, 8) / 64
    made = FlipCrop(padding=1).augment(x, torch.Generator().manual_seed(0))
    assert len(made.flatten(1).unique(dim=0)) == 18, "9 places, mirrored or not"
    mirrored = (made[:, 0, 4, 3] > made[:, 0, 4, 4]).double().mean()
    assert 0.4 < mirrored < 0.6


def test_only_what_is_trained_on_is_augmented_and_the_table_stays() -> None:
    records, seen = images(), Seen()
    before = records.x.clone()
    validated: list[Tensor] = []

    class Watched(SmallCNN):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training and len(x) == 8:  # the part held out for early stopping, not the hook's batches
                validated.append(x.clone())
            return super().forward(x)

    model = Watched((1, 8, 8), 2, channels=(4,), convs=1)
    stopping = EarlyStopping(fraction=0.2)
    changes: dict[str, Any] = {"epochs": 2, "augmentation": (FLIP_CROP,), "early_stopping": stopping}
    train(model, records, hooks=[seen], optimizer=SGD, batch_size=16, stream=Stream(0), **changes)
    assert torch.equal(records.x, before)
    clean = records.inputs()
    for x in validated:
        assert all((clean == row).flatten(1).all(1).any() for row in x)
    assert len(validated) == 2
    ids, batches = torch.cat(seen.ids), torch.cat(seen.x)
    assert len(ids) == 64, "two epochs of 32"
    moved = (batches != clean[ids]).flatten(1).any(1)
    assert moved.double().mean() > 0.8
    first, second = batches[:32][ids[:32].argsort()], batches[32:][ids[32:].argsort()]
    assert not torch.equal(first, second), "drawn anew in each epoch"


def test_augmentation_is_part_of_the_key_only_where_it_is() -> None:
    records, plain = images(), recipe()
    assert "augmentation" not in plain.describe()
    keys = {plain.changed(augmentation=steps).key(records, Stream(0)) for steps in ((), (FLIP_CROP,), (FLIP_CROP,) * 2)}
    assert len(keys) == 3
    moved = recipe(augmentation=(FLIP_CROP,))
    one, again = (moved.produce(records, 0).model for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    other = plain.produce(records, 0).model
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_transforms_of_torchvision_draw_for_each_record_from_the_trainings_stream() -> None:
    mirror = Factory("torchvision.transforms.v2.RandomHorizontalFlip")
    records = Records.of(torch.arange(4).view(1, 1, 1, 4).repeat(64, 1, 4, 1).to(torch.uint8), torch.arange(64) % 2)
    seen = [Seen(), Seen()]
    for seed, hook in enumerate(seen):
        torch.manual_seed(seed)
        trained(records, hook, augmentation=(mirror,), batch_size=64)
    x = seen[0].x[0]
    mirrored = x[:, 0, 0, 0] > 0
    assert 16 < mirrored.sum() < 48
    assert torch.equal(x, seen[1].x[0]), "whatever torch's global generator was before"


def test_augmentation_comes_first_and_the_adversary_after_it() -> None:
    outside, inside = Seen(), Seen()
    search = AdversarialTrainingPGD(epsilon=0.1, steps=2).hook()
    trained(images(), outside, search, inside, augmentation=(FLIP_CROP,))
    clean = images().inputs()[outside.ids[0]]
    assert (outside.x[0] - clean).abs().max() > 0.3, "moved"
    assert 0.05 < (inside.x[0] - outside.x[0]).abs().max() <= 0.1 + 1e-6, "perturbed around what was moved"


def test_a_taught_models_records_stay_as_the_teacher_saw_them() -> None:
    records, seen = images(), Seen()
    taught = records.replace(targets=torch.zeros(len(records), 2))
    trained(taught, seen, augmentation=(FLIP_CROP,), objective="logit_mse")
    assert torch.equal(torch.cat(seen.x), records.inputs()[torch.cat(seen.ids)])


def test_dp_sgd_keeps_its_epsilon_beside_augmentation() -> None:
    architecture = Factory("amulet.models.SmallCNN", channels=[4], convs=1, norm="none")
    private = recipe(architecture=architecture, augmentation=(FLIP_CROP,), defenses=(DPSGD(batch_size=10),))
    report = private.produce(images(), 0).report
    assert 0 < report["epsilon"] <= 8
    assert report["precision"] == "float32"


class Grey(Augmentation):
    """Another shape than it was given."""

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x.float().mean(dim=1)


@pytest.mark.parametrize(
    ("step", "shape", "message"),
    [
        (FLIP_CROP, (5,), r"`augmentation` needs images \(channels, height, width\), got inputs \(5,\)"),
        (Factory(f"{__name__}.Grey"), (1, 8, 8), r"Grey must keep images \(1, 8, 8\) in \[0, 1\], got \(8, 8\)"),
        (Factory("torchvision.transforms.v2.Normalize", mean=[0.5], std=[0.1]), (1, 8, 8), "Normalize"),
        (Factory("torchvision.transforms.v2.RandomCrop", size=20), (1, 8, 8), "RandomCrop fails on images"),
        (Factory("amulet.training.augmentation.FlipCrop", padding=-1), (1, 8, 8), "`padding` must satisfy 0 <= pad"),
        (Factory("amulet.training.augmentation.FlipCrop", pad=1), (1, 8, 8), "FlipCrop cannot be built"),
    ],
)
def test_augmentations_that_cannot_work_are_refused(step: Factory, shape: tuple[int, ...], message: str) -> None:
    records = Records.of(torch.rand(6, *shape), torch.arange(6) % 2)
    with pytest.raises(SettingError, match=message):
        Augmenter([step], torch.Generator()).check(records)


def test_nothing_is_drawn_for_nobody() -> None:
    few = images().batch(torch.arange(0))
    assert len(Augmenter([FLIP_CROP], torch.Generator())(few)) == 0


def test_a_uint8_table_trains_as_its_floats_do() -> None:
    records = images()
    floats = Records.of(records.inputs(), records.y)
    one, other = trained(records, precision="float32"), trained(floats, precision="float32")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("precision", ["float32", "amp"])
def test_channels_last_trains_the_same_model_and_keeps_plain_weights(
    precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, formats = images(channels=3), list[bool]()

    class Format(Hook):
        def epoch_end(self, training: Training) -> None:
            weight = next(p for p in training.model.parameters() if p.dim() == 4)
            formats.append(weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous())

    monkeypatch.setattr(arithmetic, "channels_last", gives(True))
    last = trained(records, Format(), precision=precision)
    stored = recipe(precision=precision).make(records, Stream(0), "key")[0]
    monkeypatch.setattr(arithmetic, "channels_last", gives(False))
    plain = trained(records, Format(), precision=precision)
    assert formats == [True, False]
    assert all(value.is_contiguous() for value in last.state_dict().values())
    assert all(value.is_contiguous() for value in stored.tensors.values())
    tolerance = 1e-4 if precision == "float32" else 0.05
    assert torch.allclose(predict(last, records), predict(plain, records), atol=tolerance)


def test_a_model_that_takes_feature_maps_apart_by_view_keeps_its_layout() -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3)
            self.head = nn.Linear(4 * 6 * 6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.convolution(x).view(len(x), -1))

    records, model = images(channels=3), Viewing()
    assert not lay_out(model, records.inputs(slice(0, 2)), low_precision=True)
    assert model.convolution.weight.is_contiguous()
    report = train(model, records, optimizer=SGD, epochs=1, batch_size=16, stream=Stream(0))
    assert report["epochs"] == 1


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "groups", "wanted"),
    [(4, 1, 2, 1, False), (16, 1, 2, 4, False), (8, 1, 2, 1, True), (4, 1, 1, 1, True), (4, 3, 2, 1, True)],
)
def test_channels_last_is_not_for_layers_that_onednn_may_not_survive(
    channels: int, kernel: int, stride: int, groups: int, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "channels_last", gives(True))
    model = nn.Sequential(nn.Conv2d(channels, 8, kernel, stride=stride, groups=groups), nn.Flatten())
    assert lay_out(model, torch.zeros(2, channels, 6, 6), low_precision=False) == wanted


def test_an_optimizer_that_exists_keeps_the_weights_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "channels_last", gives(True))
    records = images(channels=3)
    model = recipe().build(records.shape, Stream(0))
    optimizer = torch.optim.Adam(model.parameters())
    trained_before = next(model.parameters()).stride()

    class Stride(Hook):
        def epoch_end(self, training: Training) -> None:
            assert next(training.model.parameters()).stride() == trained_before

    train(model, records, optimizer=optimizer, epochs=1, batch_size=16, stream=Stream(0), hooks=[Stride()])


def test_bfloat16_is_for_convolutions_where_the_processor_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(2, 3, 16, 16)
    cnn, transformer = SmallCNN((3, 16, 16), 2), VisionTransformer((3, 16, 16), 2)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    assert [convolutional(model, x) for model in (cnn, transformer, dense)] == [True, False, False]
    for fast, chosen in ((torch.bfloat16, "amp"), (torch.float32, "float32")):
        monkeypatch.setattr(loop, "fast_dtype", gives(fast))
        assert loop.resolved("auto", cnn, x, 256) == chosen
        assert loop.resolved("auto", dense, x, 256) == "float32"
        assert loop.resolved("amp", dense, x, 256) == "amp"
        assert recipe(epochs=1, batch_size=256).produce(images(), 0).report["precision"] == chosen


@pytest.mark.parametrize(("batch_size", "chosen"), [(16, "float32"), (256, "amp")])
def test_bfloat16_is_for_weights_that_a_batch_uses_often(
    batch_size: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "fast_dtype", gives(torch.bfloat16))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=3), nn.Flatten(), nn.Linear(8 * 25, 2))  # 9 uses of most weights
    assert loop.resolved("auto", model, torch.zeros(2, 3, 16, 16), batch_size) == chosen


@pytest.mark.parametrize(("width", "narrow"), [(16, True), (256, False)])
def test_wide_convolutions_keep_their_layout_in_float32(
    width: int, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "channels_last", gives(True))
    model = nn.Sequential(nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3), nn.Flatten())
    assert lay_out(model, torch.zeros(2, 3, 8, 8), low_precision=False) == narrow
    assert lay_out(model, torch.zeros(2, 3, 8, 8), low_precision=True)


def test_trying_out_leaves_no_trace() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x + 0.1 * torch.randn_like(x))

    model = Noisy().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert convolutional(model, torch.zeros(2, 1, 8, 8))
    lay_out(model, torch.zeros(2, 1, 8, 8), low_precision=True)
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
