"""DP-SGD inside the one training loop: sampling, noise, what is reported, and what is not claimed."""

import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core import Factory, IncompatibleError, Reporter, SettingError, Stage, Stream
from amulet.datasets import Records
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.membership_inference.defenses import DPSGD
from amulet.membership_inference.defenses.accounting import spent
from amulet.membership_inference.defenses.architecture import WithGroupNorm
from amulet.membership_inference.defenses.probe import check_augmentation
from amulet.models import LinearNet
from amulet.training import Defense, EarlyStopping, Hook, Prepared, Recipe, Training, train
from amulet.training.augmentation import Augmentation

ADAM = Factory("torch.optim.Adam", lr=1e-3)
HERE = __name__


def _records(n: int = 200, shape: tuple[int, ...] = (4,)) -> Records:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n, *shape, generator=generator)
    return Records.of(x, (x.flatten(1)[:, 0] > 0.5).long())


def _recipe(*defenses: Defense, **changes: Any) -> Recipe:
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        num_classes=2,
        optimizer=ADAM,
        epochs=2,
        batch_size=20,
        defenses=defenses,
    )
    return recipe.changed(**changes)


def _private(**changes: Any) -> DPSGD:
    return DPSGD(epsilon=None, noise_multiplier=1.0, batch_size=20, accountant="rdp").changed(**changes)


def _training(model: nn.Module, records: Records, *hooks: Hook) -> Training:
    """A training whose hooks have started."""
    training = Training(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        records,
        objective="cross_entropy",
        epochs=1,
        batch_size=1,
        hooks=hooks,
        stream=Stream(0),
        precision="float32",
    )
    for hook in hooks:
        hook.start(training)
    return training


class Normed(nn.Sequential):
    """A small convolutional net with BatchNorm, its activation in place."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(input_shape[0], 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, num_classes),
        )


class Picky(Normed):
    """Takes one size only, so that nobody finds out about its layers without the data."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        if tuple(input_shape) != (2, 5, 5):
            raise ValueError("wrong size")
        super().__init__(input_shape, num_classes)


class Centring(LinearNet):
    """Subtracts the mean of the batch while it is trained, so that records see each other."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes, hidden=[4])

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits - logits.mean(dim=0) if self.training else logits


class Remover(Defense):
    """Drops a record that depends on the others."""

    risk, stage = "poisoning", "before"

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        return Prepared(records.take(torch.arange(1, len(records))))


class Marker(Remover):
    """Adds a record that depends on nobody."""

    per_record = True

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        return Prepared(records.concat(records.take(torch.arange(1)).replace(x=torch.zeros(1, 4))))


class Sampler(Defense):
    """Chooses the batches itself."""

    risk, stage, per_record = "poisoning", "in", True

    def hook(self) -> Hook:
        return _FixedBatches()


class _FixedBatches(Hook):
    def batches(self, training: Training, generator: torch.Generator) -> Iterator[Tensor]:
        yield torch.arange(20)


def test_the_report_says_what_was_spent() -> None:
    report = (
        _recipe(DPSGD(epsilon=3.0, batch_size=50, accountant="rdp"), epochs=3).produce(_records(), Stream(0)).report
    )
    assert report["sampling_rate"] == 0.25
    assert report["steps"] == 3 * 4
    assert report["delta"] == pytest.approx(200**-1.1)
    assert report["epsilon"] == pytest.approx(spent(report["noise_multiplier"], report["delta"], 0.25, 12, "rdp"))
    assert 2.99 < report["epsilon"] <= 3.0
    assert report["warnings"] == []
    assert report["released_without_noise"] == ["the number of records", "loss and accuracy on the training records"]
    assert "no secure mode" in report["random_numbers"]


def test_losses_and_training_accuracy_can_be_left_out() -> None:
    shown: list[dict[str, Any]] = []

    class Shown(Stage):
        def advance(self, steps: int = 1, **figures: Any) -> None:
            shown.append(figures)

    class Watcher(Reporter):
        def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
            return Shown(name, total, unit)

    for silent in (False, True):
        shown.clear()
        records, hook = _records(40), _private(report_losses=not silent).hook()
        report = train(
            LinearNet((4,), 2),
            records,
            optimizer=ADAM,
            epochs=2,
            batch_size=8,
            stream=Stream(0),
            hooks=[hook],
            reporter=Watcher(),
        )
        assert [sorted(figures) for figures in shown] == ([[], []] if silent else [["loss"], ["loss"]])
        assert (report["loss"] is None, report["accuracy"] is None, report["losses"] == []) == (silent,) * 3
        assert report["epsilon"] is not None
        assert len(report["released_without_noise"]) == 2 - silent


class BatchMixUp(Augmentation):
    """Half of another image of the batch, in one batch of three."""

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        mixed = 0.5 * x + 0.5 * x[torch.randperm(len(x), generator=generator)]
        return mixed if torch.rand((), generator=generator) < 0.34 else x


class Brightest(Augmentation):
    """Scaled by the brightest pixel of the batch."""

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x / x.max()


class Remembering(Augmentation):
    """A little of the mean of the batch before."""

    before: Tensor | float = 0.0

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        made = 0.9 * x + 0.1 * self.before
        self.before = x.mean(dim=0)
        return made


class Shade(Augmentation):
    """Each image darker by an amount of its own, which depends on what is in it."""

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x * torch.rand(len(x), 1, 1, 1, generator=generator) * x.float().mean(dim=(1, 2, 3), keepdim=True).sign()


class Elsewhere(Augmentation):
    """Draws from numpy's generator."""

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x * float(np.random.default_rng().random())


@pytest.mark.parametrize("mixing", ["BatchMixUp", "Brightest", "Remembering"])
def test_augmentations_that_mix_records_are_refused(mixing: str) -> None:
    steps = (Factory("amulet.training.augmentation.FlipCrop", padding=1), Factory(f"{HERE}.{mixing}"))
    recipe = _recipe(_private(), augmentation=steps)
    with pytest.raises(SettingError, match=f"`augmentation`: what {mixing} makes of a record depends on other records"):
        recipe.produce(_records(60, (1, 4, 4)), Stream(0))


def test_augmentations_of_single_images_leave_the_guarantee_and_the_draws() -> None:
    steps = (Factory("amulet.training.augmentation.FlipCrop", padding=1), Factory(f"{HERE}.Shade"))
    records = _records(60, (1, 4, 4))
    assert _recipe(_private(), augmentation=steps).produce(records, Stream(0)).report["epsilon"] is not None
    drawn = torch.Generator().manual_seed(0)
    assert check_augmentation(steps, records, drawn) == []
    assert check_augmentation(steps, Records.of((records.x * 255).to(torch.uint8), records.y), drawn) == []


def test_an_augmentation_that_cannot_be_tested_leaves_no_guarantee() -> None:
    recipe = _recipe(_private(), augmentation=(Factory(f"{HERE}.Elsewhere"),))
    report = recipe.produce(_records(60, (1, 4, 4)), Stream(0)).report
    assert report["epsilon"] is None
    assert "augmentation Elsewhere draws from a generator that cannot be repeated" in report["warnings"][0]


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (_recipe(_private(sampling="shuffled")), "Poisson"),
        (_recipe(_private(noise_multiplier=0.0)), "no noise"),
        (_recipe(_private(), early_stopping=EarlyStopping()), "early stopping"),
        (_recipe(Remover(), _private()), "Remover uses the records"),
        (_recipe(Sampler(), _private()), "another defence's"),
    ],
    ids=["shuffled", "no noise", "early stopping", "removal", "foreign batches"],
)
def test_epsilon_is_null_with_the_reason_unless_all_is_private(recipe: Recipe, says: str) -> None:
    report = recipe.produce(_records(), Stream(0)).report
    assert report["epsilon"] is None
    (warning,) = report["warnings"]
    assert warning.startswith("epsilon is null")
    assert says in warning


def test_defences_that_treat_records_one_by_one_leave_the_guarantee() -> None:
    report = _recipe(Marker(), AdversarialTrainingPGD(steps=2), _private()).produce(_records(), Stream(0)).report
    assert report["epsilon"] is not None
    assert report["records"] == 201


def test_every_step_is_a_poisson_sample() -> None:
    """Batch sizes are binomial, and a record is in a batch with the probability that was accounted for."""
    seen = torch.zeros(400)
    sizes: list[int] = []

    class Counting(Hook):
        def loss(self, training: Training, batch: Records, inner: Any) -> Any:
            seen[batch.ids] += 1
            sizes.append(len(batch))
            return inner(batch)

    hooks = [Counting(), _private(batch_size=40).hook()]
    train(LinearNet((4,), 2), _records(400), optimizer=ADAM, epochs=40, batch_size=8, stream=Stream(0), hooks=hooks)
    draws = 40 * 10
    assert len(sizes) == draws
    assert torch.tensor(sizes).float().mean().item() == pytest.approx(40, abs=5 * math.sqrt(36 / draws))
    assert 4 < torch.tensor(sizes).float().std().item() < 8  # sqrt(400 * 0.1 * 0.9) = 6, and 0 where sizes are fixed
    assert (seen / draws - 0.1).abs().max() < 5 * math.sqrt(0.09 / draws)


def test_an_empty_batch_is_a_step_of_noise_alone() -> None:
    model = LinearNet((4,), 2, hidden=[3])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hook = _private(batch_size=1, noise_multiplier=2.0).hook()
    records = _records(3)
    training = _training(model, records, hook)
    loss = training.step(records.batch(torch.zeros(0, dtype=torch.int64)))
    assert loss.values.numel() == 0
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert all((model.state_dict()[name] != value).all() for name, value in before.items())


def test_epochs_of_mostly_empty_batches_end_well() -> None:
    report = _recipe(_private(batch_size=1), epochs=3).produce(_records(4), Stream(5)).report
    assert report["steps"] == 12
    assert all(math.isfinite(loss) for loss in report["losses"])


def test_noise_has_the_deviation_it_was_accounted_with() -> None:
    """On an empty batch the gradient is noise / expected batch size, of deviation sigma C / (q n)."""
    model = LinearNet((40,), 2, hidden=[200])
    hook = _private(noise_multiplier=1.5, max_grad_norm=0.5, batch_size=10).hook()
    records = _records(50, (40,))
    training = _training(model, records, hook)
    hook.backward(training, records.batch(torch.zeros(0, dtype=torch.int64)), training.loss)
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    wanted = 1.5 * 0.5 / 10
    assert gradients.std().item() == pytest.approx(wanted, rel=5 / math.sqrt(2 * len(gradients)))
    assert abs(gradients.mean().item()) < 5 * wanted / math.sqrt(len(gradients))
    first = gradients.clone()
    hook.backward(training, records.batch(torch.zeros(0, dtype=torch.int64)), training.loss)
    again = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.corrcoef(torch.stack([first, again]))[0, 1].abs() < 0.1


def test_the_gradient_is_the_clipped_sum_over_the_expected_batch() -> None:
    torch.manual_seed(0)
    model, records = LinearNet((4,), 2, hidden=[5]), _records(30)
    hook = _private(noise_multiplier=0.0, max_grad_norm=0.05, batch_size=10).hook()
    training = _training(model, records, hook)
    hook.backward(training, batch := records.batch(torch.arange(7)), training.loss)
    for i, weight in enumerate(model.parameters()):
        wanted = torch.zeros_like(weight)
        for k in range(7):
            one = torch.nn.functional.cross_entropy(model(batch.x[k : k + 1]), batch.y[k : k + 1])
            gradients = torch.autograd.grad(one, list(model.parameters()))
            norm = torch.cat([g.flatten() for g in gradients]).norm()
            wanted += gradients[i] * (0.05 / norm).clamp(max=1) / 10
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, wanted, rtol=1e-3, atol=1e-6)


def test_alternating_updates_are_accounted_as_two_of_one_sample() -> None:
    recipe = _recipe(
        AdversarialTrainingPGD(steps=2, batches="alternating"), DPSGD(epsilon=3.0, batch_size=50, accountant="rdp")
    )
    report = recipe.produce(_records(), Stream(0)).report
    assert (report["updates_per_step"], report["steps"]) == (2, 8)
    assert report["epsilon"] == pytest.approx(spent(report["noise_multiplier"], report["delta"], 0.25, 8, "rdp", 2))
    alone = _recipe(DPSGD(epsilon=3.0, batch_size=50, accountant="rdp")).produce(_records(), Stream(0)).report
    assert report["noise_multiplier"] == pytest.approx(math.sqrt(2) * alone["noise_multiplier"], rel=1e-2)


@pytest.mark.parametrize("batches", ["adversarial", "mixed"])
def test_beside_adversarial_training_a_record_counts_once(batches: Any) -> None:
    """Whatever an adversarially trained record does, its share of a step is within the clipping norm."""
    adversarial = AdversarialTrainingPGD(epsilon=0.3, steps=2, batches=batches)
    hooks = [adversarial.hook(), _private(noise_multiplier=0.0, max_grad_norm=0.02, batch_size=1).hook()]
    model, records = LinearNet((4,), 2, hidden=[5]), _records(30)
    training = _training(model, records, *hooks)
    training.step(records.batch(torch.arange(1)))
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(0.02, rel=1e-3)


def test_adversarial_training_and_dp_sgd_learn_together() -> None:
    both = (AdversarialTrainingPGD(epsilon=0.02, steps=3), DPSGD(epsilon=50.0, batch_size=100, accountant="rdp"))
    trained = _recipe(*both, epochs=20).produce(_records(600), Stream(0))
    records = _records(600)
    assert trained.report["epsilon"] <= 50
    assert (trained.model(records.x).argmax(dim=1) == records.y).float().mean().item() > 0.85


def test_weights_are_saved_as_those_of_the_plain_model() -> None:
    private = _recipe(_private()).fit(_records(), Stream(0))
    plain = _recipe().fit(_records(), Stream(0))
    assert list(private.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(private.state_dict())
    assert not any(module._forward_hooks for module in private.modules())  # pyright: ignore[reportPrivateUsage]


def test_the_same_stream_gives_the_same_bytes_and_another_other_noise() -> None:
    first, second, other = (
        _recipe(_private()).fit(_records(), stream).state_dict() for stream in (Stream(0), Stream(0), Stream(1))
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not any(torch.equal(value, other[name]) for name, value in first.items())


def test_by_hand_as_in_the_paper() -> None:
    torch.manual_seed(0)
    model, records = LinearNet((4,), 2, hidden=[16]), _records(600)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    loader: DataLoader[Any] = DataLoader(records, batch_size=50)
    defense = DPSGD(model, nn.CrossEntropyLoss(), optimizer, loader, "cpu", 15, epsilon=20.0, accountant="rdp")
    trained = defense.train_private()
    assert trained is model
    assert not model.training
    assert defense.report["epsilon"] <= 20
    assert defense.report["expected_batch_size"] == 50
    assert optimizer.param_groups[0]["lr"] == 0.02
    assert (model(records.x).argmax(dim=1) == records.y).float().mean().item() > 0.85


def test_its_own_learning_rate_and_batch_size_replace_the_recipes() -> None:
    assert DPSGD(lr=0.3).tune(ADAM).settings["lr"] == 0.3
    assert DPSGD(lr=None).tune(ADAM) is ADAM
    report = _recipe(_private(batch_size=None, lr=None), batch_size=40).produce(_records(), Stream(0)).report
    assert report["expected_batch_size"] == 20
    assert "learning rate" in DPSGD(lr=None).warnings()[0]
    assert not DPSGD().warnings()
    slow = _recipe(_private(lr=1e-9), epochs=1).fit(_records(), Stream(0)).state_dict()
    initial = _recipe().build((4,), Stream(0)).state_dict()
    assert all(torch.allclose(value, initial[name], atol=1e-7) for name, value in slow.items())


def test_batch_norm_gives_way_to_group_norm_in_both_victims() -> None:
    architecture = DPSGD().adapt(Factory(f"{HERE}.Normed"))
    assert isinstance(pickle.loads(pickle.dumps(architecture)), WithGroupNorm)  # noqa: S301 -- workers are sent it
    assert architecture.describe() != Factory(f"{HERE}.Normed").describe()
    records = _records(60, (2, 5, 5))
    undefended = _recipe(architecture=architecture, epochs=1).produce(records, Stream(0))
    defended = _recipe(_private(), architecture=architecture, epochs=1).produce(records, Stream(0))
    for trained in (undefended, defended):
        assert [type(module) for module in trained.model.modules()].count(nn.GroupNorm) == 1
        assert not any(isinstance(module, nn.BatchNorm2d) for module in trained.model.modules())
    assert "1 BatchNorm layers are replaced" in defended.report["warnings"][0]
    assert defended.report["epsilon"] is not None


class NormedFeatures(nn.Sequential):
    """BatchNorm over as many features as opacus would make groups."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, width: int = 32) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(math.prod(input_shape), width), nn.BatchNorm1d(width), nn.Linear(width, num_classes)
        )


def test_batch_norm_of_features_becomes_one_group_which_is_not_constant() -> None:
    architecture = DPSGD().adapt(Factory(f"{HERE}.NormedFeatures"))
    model = architecture.build(input_shape=(4,), num_classes=2)
    x = torch.rand(6, 4)
    hidden = model[1](x)
    out = model[2](hidden)
    torch.testing.assert_close(out, nn.functional.layer_norm(hidden, (32,)))
    assert len(out.abs().round(decimals=3).unique()) > 20, "more than the signs are left"
    assert _recipe(_private(), architecture=architecture, epochs=1).produce(_records(60), Stream(0)).report["epsilon"]


def test_a_norm_that_would_be_constant_is_refused() -> None:
    architecture = DPSGD().adapt(Factory(f"{HERE}.NormedFeatures", width=1))
    with pytest.raises(SettingError, match="GroupNorm of NormedFeatures normalises single values"):
        _recipe(_private(), architecture=architecture).fit(_records(60), Stream(0))


def test_architectures_without_batch_norm_stay_as_they_are() -> None:
    architecture = Factory("amulet.models.LinearNet", hidden=[8])
    assert DPSGD().adapt(architecture) is architecture


def test_an_architecture_that_takes_one_size_only_is_wrapped_and_works() -> None:
    architecture = DPSGD().adapt(Factory(f"{HERE}.Picky"))
    model = architecture.build(input_shape=(2, 5, 5), num_classes=2)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_batch_norm_is_refused_where_asked_or_where_nobody_replaced_it() -> None:
    with pytest.raises(IncompatibleError, match="batch_norm=replace"):
        DPSGD(batch_norm="refuse").adapt(Factory(f"{HERE}.Normed"))
    recipe = _recipe(_private(), architecture=Factory(f"{HERE}.Normed"))
    with pytest.raises(SettingError, match="BatchNorm"):
        recipe.fit(_records(60, (2, 5, 5)), Stream(0))


def test_a_model_whose_records_see_each_other_is_not_trained() -> None:
    architecture = Factory(f"{HERE}.Centring")
    _recipe(architecture=architecture, epochs=1).fit(_records(60), Stream(0))
    with pytest.raises(SettingError, match="what Centring answers for a record depends on the other records"):
        _recipe(_private(), architecture=architecture, epochs=1).fit(_records(60), Stream(0))


@pytest.mark.parametrize("delta", [1 / 200, 0.5])
def test_delta_must_be_below_one_over_n(delta: float) -> None:
    with pytest.raises(SettingError, match=r"`delta` must be below 1/n = 0.005 for 200"):
        _recipe(_private(delta=delta)).fit(_records(), Stream(0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epsilon": 0.0}, "0 < epsilon"),
        ({"epsilon": 8.0, "noise_multiplier": 1.0}, "sets the other"),
        ({"epsilon": None}, "sets the other"),
        ({"delta": 1.0}, "delta < 1"),
        ({"max_grad_norm": 0.0}, "max_grad_norm"),
        ({"epsilon": None, "noise_multiplier": -1.0}, "noise_multiplier"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0.0}, "lr"),
        ({"sampling": "uniform"}, "poisson, shuffled"),
        ({"accountant": "gdp"}, "prv, rdp"),
        ({"batch_norm": "keep"}, "replace, refuse"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        DPSGD(**settings)
