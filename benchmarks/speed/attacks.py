"""PGD beside torchattacks, foolbox and ART, each at the batch size at which it is fastest."""

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from amulet.core import Factory, Stream
from amulet.datasets import Records, load_census
from amulet.evasion.attacks import EvasionPGD
from amulet.models import predict
from amulet.training import Recipe
from benchmarks.speed.timing import Row, medians, quickest

STEPS = 40
Made = Callable[[], Tensor]
Maker = Callable[[int], Made]
"""A batch size to what makes the adversarial inputs."""


def measured(repeats: int) -> Iterator[Row]:
    """Census, where many records fall and where hardly any does; pictures of digits for a convolutional network."""
    census = load_census()
    table = recipe("amulet.models.LinearNet", 2, 20).fit(census.train, Stream(0) / "victim")
    yield from _beside("PGD, 40 steps, census", table, census.test, 0.05, repeats)
    yield from _beside("PGD, 40 steps, census", table, census.test, 0.002, repeats)
    train, test = pictures()
    network = recipe("amulet.models.SmallCNN", 10, 4).fit(train, Stream(0) / "victim")
    yield from _beside("PGD, 40 steps, small CNN", network, test, 0.005, max(1, repeats // 2), ("torchattacks",))


def recipe(architecture: str, classes: int, epochs: int) -> Recipe:
    """Plain training with Adam."""
    adam = Factory("torch.optim.Adam", lr=1e-3)
    return Recipe(architecture=Factory(architecture), num_classes=classes, optimizer=adam, epochs=epochs)


def pictures() -> tuple[Records, Records]:
    """The handwritten digits that scikit-learn brings along, at 28 x 28 pixels: records to train on, and others."""
    pixels, digits = load_digits(return_X_y=True)
    x = torch.as_tensor(pixels).float().view(-1, 1, 8, 8) / 16
    x = F.interpolate(x, size=28, mode="bilinear").clamp(0, 1)
    every = Records.of(x, torch.as_tensor(digits))
    return every.take(torch.arange(1200)), every.take(torch.arange(1200, len(x)))


def _beside(
    work: str, model: nn.Module, records: Records, epsilon: float, repeats: int, peers: tuple[str, ...] = ()
) -> Iterator[Row]:
    x, y, count = records.x, records.y, len(records)
    ways: dict[str, Made] = {}
    for name, maker in _peers(model, x, y, epsilon).items():
        if peers and name not in peers:
            continue
        sizes = {f"{name}, batches of {size:,}": maker(size) for size in (512, 2048, 8192) if size <= count}
        best = quickest(sizes)
        ways[best] = sizes[best]
    attack = EvasionPGD(epsilon=epsilon, steps=STEPS, rel_step_size=0.1)
    mine = partial(attack.adversarial, model, records, Stream(0))
    exact = partial(attack.changed(search_dtype="float32").adversarial, model, records, Stream(0))
    every: dict[str, Made] = {"": mine, "our own search in float32": exact} | ways
    made: dict[str, Tensor] = {}

    def kept(name: str, way: Made) -> Callable[[], None]:
        return lambda: made.update({name: way()})

    found = medians({name: kept(name, way) for name, way in every.items()}, repeats)
    robust = {name: (predict(model, some).argmax(1) == y).double().mean().item() for name, some in made.items()}
    title = f"{work}, {count:,} records, budget {epsilon:g}, {robust['']:.4f} robust"
    for name in list(every)[1:]:
        yield Row(title, found[""], name, found[name] / found[""], f"robust {robust[name]:.4f}")


def _peers(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> dict[str, Maker]:
    """By name; one that is not installed is left out and named."""
    found: dict[str, Maker] = {}
    if torchattacks := _installed("torchattacks"):
        theirs = torchattacks.PGD(model, eps=epsilon, alpha=epsilon / 10, steps=STEPS)
        found["torchattacks"] = lambda size: partial(_batched, theirs, x, y, size)
    if foolbox := _installed("foolbox"):
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        linf = foolbox.attacks.LinfPGD(abs_stepsize=epsilon / 10, steps=STEPS)
        found["foolbox"] = lambda size: partial(
            _batched, lambda some, labels: linf(wrapped, some, labels, epsilons=epsilon)[1], x, y, size
        )
    if _installed("art"):
        found["ART"] = partial(_art, model, x, y, epsilon)
    return found


def _batched(attack: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, size: int) -> Tensor:
    return torch.cat([attack(some, labels) for some, labels in zip(x.split(size), y.split(size), strict=True)])


def _art(model: nn.Module, x: Tensor, y: Tensor, epsilon: float, size: int) -> Made:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    classes = predict(model, x[:1]).shape[1]
    loss = nn.CrossEntropyLoss()
    classifier = PyTorchClassifier(model, loss, tuple(x.shape[1:]), classes, clip_values=(0, 1), device_type="cpu")
    attack = ProjectedGradientDescentPyTorch(
        classifier,
        eps=epsilon,
        eps_step=epsilon / 10,
        max_iter=STEPS,
        num_random_init=1,
        batch_size=size,
        verbose=False,
    )
    return lambda: torch.from_numpy(attack.generate(x.numpy(), y.numpy()))


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.stderr.write(f"{name} is not installed: left out\n")
        return None
