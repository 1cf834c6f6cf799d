"""Pictures read out of networks: searches in batches, similarity of real sizes, what is drawn, what does not move."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from amulet.assessment import Plan, assess
from amulet.core import Factory, Stream
from amulet.data_reconstruction import protocol
from amulet.data_reconstruction.attacks import ModelInversion, inversion
from amulet.data_reconstruction.metrics import mse, ssim
from amulet.training import MemoryStore, Runtime
from tests.helpers.image_toys import TinyConv, faces

DATA = faces(200, 80, classes=3)
STORE = MemoryStore()


def plan(attack: ModelInversion, architecture: Factory, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "data": DATA,
        "architecture": architecture,
        "optimizer": Factory("torch.optim.Adam", lr=1e-2),
        "epochs": 8,
        "batch_size": 32,
        "attack": attack,
        "runtime": Runtime(store=STORE),
    }
    return Plan(**{**settings, **changes})


def smooth(image: Any) -> Any:
    return gaussian_filter(image, 1.5, truncate=3.5)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 62, 47), (3, 32, 32)])
def test_similarity_of_pictures_of_real_sizes(shape: tuple[int, int, int]) -> None:
    """Wang et al. (2004) by scipy, channel by channel, where the window of 11 fits."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, *shape, generator=generator) for _ in range(2))
    b = 0.7 * a + 0.3 * b
    expected: list[float] = []
    for one, other in zip(a.double().numpy(), b.double().numpy(), strict=True):
        each: list[float] = []
        for p, q in zip(one, other, strict=True):
            mp, mq = smooth(p), smooth(q)
            vp, vq, both = smooth(p * p) - mp**2, smooth(q * q) - mq**2, smooth(p * q) - mp * mq
            full = (2 * mp * mq + 1e-4) * (2 * both + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
            each.append(full[5:-5, 5:-5].mean())
        expected.append(float(np.mean(each)))
    assert ssim(a, b).numpy() == pytest.approx(expected, abs=1e-9)
    assert mse(a, b).numpy() == pytest.approx(((a - b).double() ** 2).flatten(1).mean(dim=1).numpy())


@pytest.mark.parametrize("restarts", [1, 3])
def test_searches_go_in_batches_that_change_nothing(restarts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = TinyConv((1, 12, 12), 5).eval()
    attack = ModelInversion(steps=20, restarts=restarts)
    whole = attack.reconstruct(model, (1, 12, 12), 5, Stream(0))
    sizes: list[int] = []

    def two(shape: Any) -> int:
        return 2

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))

    monkeypatch.setattr(inversion, "batch_size_for", two)
    model.register_forward_pre_hook(count)
    parts = attack.reconstruct(model, (1, 12, 12), 5, Stream(0))
    assert max(sizes) == 2
    for name in ("x", "start", "first_loss", "loss"):
        assert torch.allclose(getattr(parts, name), getattr(whole, name), atol=1e-5), name


def test_class_means_of_bytes() -> None:
    means, counts = protocol.class_means(DATA.train, 3)
    for label in range(3):
        of_class = DATA.train.x[DATA.train.y == label].double() / 255
        assert torch.allclose(means[label], of_class.mean(dim=0), atol=1e-6)
        assert counts[label] == len(of_class)


@pytest.mark.parametrize("architecture", ["tests.helpers.image_toys.TinyConv", "amulet.models.LinearNet"])
def test_what_was_read_out_is_kept_with_its_shape_and_drawn(architecture: str) -> None:
    outcome = assess(plan(ModelInversion(steps=100), Factory(architecture)))
    metrics, baselines = outcome.metrics["undefended"], outcome.baselines["undefended"]
    assert metrics["mse"] < baselines["start.mse"]
    assert metrics["recognition"] > 0.5 > baselines["recognition"]
    assert {"ssim", "class_2.ssim", "class_2.mse"} <= metrics.keys()
    assert {"mse", "zero.mse", "random.ssim"} <= baselines.keys()
    arrays = {name.removeprefix("undefended.data_reconstruction."): a for name, a in outcome.arrays.items()}
    assert arrays["reconstructions"].shape == arrays["means"].shape == (3, 1, 12, 12)
    for name, source in (("reconstruction", "reconstructions"), ("class mean", "means")):
        drawn = arrays[f"picture.reconstructions.{name}"]
        assert drawn.shape == (3, 12, 12, 1)
        assert np.abs(drawn[..., 0] / 255 - arrays[source][:, 0]).max() <= 0.5 / 255 + 1e-6


class Deep(nn.Module):
    """Twelve convolutions: what reaches the input of a gradient is little, and of a change of the input, the loss.

    In float64: a search keeps the input of the lowest loss, and which that is would be a matter of rounding in float32.
    """

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(input_shape[0], 4, 3, padding=1), nn.ReLU()]
        for _ in range(11):
            layers += [nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, num_classes))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.double())


def test_the_papers_step_does_not_move_in_deep_networks_and_that_is_said() -> None:
    deep = Factory("test_images_reconstruction.Deep")
    plain = assess(plan(ModelInversion(update="plain", step_size=0.003, steps=100, tv=0), deep, epochs=1))
    assert any("hardly moved for classes 0, 1, 2" in text for text in plain.warnings)
    adam = assess(plan(ModelInversion(steps=100, tv=0), deep, epochs=1))
    assert not any("hardly moved" in text for text in adam.warnings)
    moved = adam.manifest["data_reconstruction"]["undefended"]["moved"]
    assert min(moved) > 0.1
