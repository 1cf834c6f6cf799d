"""Inversion with a prior: the generator against scikit-learn's, one-hot columns, what it finds and what it needs."""

import numpy as np
import pytest
import torch
from torch import nn

from amulet.core import SettingError, Stream
from amulet.data_reconstruction.attacks import ModelInversion, PriorInversion
from amulet.data_reconstruction.attacks.prior import Generator, shifted
from amulet.data_reconstruction.metrics.closeness import nearest_mse
from amulet.datasets import Records

STREAM = Stream(0) / "attack"


def drawn(n: int, d: int, seed: int = 0) -> Records:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, d, generator=generator) * torch.linspace(0.1, 0.4, d) + 0.3
    return Records.of(x, torch.zeros(n))


@pytest.mark.parametrize(("n", "d"), [(60, 8), (8, 30)])
def test_the_generator_is_scikit_learns_principal_components(n: int, d: int) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    records = drawn(n, d)
    known = decomposition.PCA(n_components=4).fit(records.x.double().numpy())
    made = Generator.of(records, 4, (), torch.Generator().manual_seed(0))
    expected = known.components_ * np.sqrt(known.explained_variance_ * (n - 1) / n)[:, None]
    assert made.mean.numpy() == pytest.approx(known.mean_, abs=1e-6)
    assert np.abs(made.directions.numpy()) == pytest.approx(np.abs(expected), abs=1e-5)
    codes = torch.eye(4) * 0.1
    assert made.decode(codes).numpy() == pytest.approx((made.mean + 0.1 * made.directions).numpy(), abs=1e-6)


def test_one_hot_columns_stay_on_their_simplex_and_begin_at_the_marginals() -> None:
    random = np.random.default_rng(0)
    code = torch.nn.functional.one_hot(torch.as_tensor(random.choice(3, 200, p=[0.7, 0.2, 0.1])), 3).float()
    records = Records.of(torch.cat([torch.rand(200, 1), code, torch.rand(200, 1)], dim=1), torch.zeros(200))
    made = Generator.of(records, 5, [(1, 4)], torch.Generator())
    x = made.decode(torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) * 3)
    assert torch.allclose(x[:, 1:4].sum(dim=1), torch.ones(50), atol=1e-5)
    assert ((x >= 0) & (x <= 1)).all()
    assert torch.allclose(made.decode(torch.zeros(1, 5))[0, 1:4], code.mean(dim=0), atol=1e-5)
    model = nn.Linear(5, 2)
    found = PriorInversion(steps=20).knowing(records, [(1, 4)]).reconstruct(model, (5,), 2, STREAM)
    assert torch.allclose(found.x[:, 1:4].sum(dim=1), torch.ones(2), atol=1e-5)
    assert (found.loss < found.first_loss).all()


def test_shifts_move_all_images_alike_and_repeat_edges() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4).repeat(2, 1, 1, 1)
    draws = torch.Generator().manual_seed(0)
    seen = {tuple(shifted(x, 1, draws)[0].flatten().tolist()) for _ in range(200)}
    expected = {
        tuple(x[0, 0][rows][:, columns].flatten().tolist())
        for rows in ([0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 3])
        for columns in ([0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 3])
    }
    assert seen == expected


def test_what_is_found_looks_like_a_record_of_its_class_where_plain_inversion_finds_noise() -> None:
    """Two kinds of bars; the model's weights are full of noise that says nothing about records."""
    generator = torch.Generator().manual_seed(0)
    bars = torch.zeros(2, 1, 8, 8)
    bars[0, 0, 2:4], bars[1, 0, :, 4:6] = 1, 1
    y = torch.arange(200) % 2
    strength = torch.rand(200, 1, 1, 1, generator=generator)
    x = (bars[y] * strength + 0.05 * torch.rand(200, 1, 8, 8, generator=generator)).clamp(0, 1)
    layer = nn.Linear(64, 2)
    model = nn.Sequential(nn.Flatten(), layer)
    with torch.no_grad():
        layer.weight.copy_(bars.flatten(1) + torch.randn(2, 64, generator=generator))
    attack = PriorInversion(restarts=2, shifts=0, confidence=10.0)
    found = attack.knowing(Records.of(x, torch.zeros(200)), ()).reconstruct(model, (1, 8, 8), 2, STREAM)
    plain = ModelInversion(steps=150).reconstruct(model, (1, 8, 8), 2, STREAM)
    errors = [(one.x / one.x.amax(dim=(1, 2, 3), keepdim=True) - bars).square().mean().item() for one in (found, plain)]
    assert errors[0] < 0.5 * errors[1]
    assert torch.equal(found.x, attack.knowing(Records.of(x, y), ()).reconstruct(model, (1, 8, 8), 2, STREAM).x), (
        "it looks at labels, or draws at random"
    )


def test_it_needs_records() -> None:
    with pytest.raises(SettingError, match="must be built with `records`"):
        PriorInversion().reconstruct(nn.Linear(3, 2), (3,), 2, STREAM)
    by_hand = PriorInversion(nn.Linear(8, 2), (8,), 2, "cpu", drawn(40, 8), steps=5)
    assert by_hand.attack().shape == (2, 8)


def test_the_nearest_record_is_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    monkeypatch.setattr("amulet.data_reconstruction.metrics.closeness.batch_size_for", len)  # blocks of three
    x, records = torch.rand(5, 1, 4, 4), Records.of((torch.rand(20, 1, 4, 4) * 255).byte(), torch.zeros(20))
    far, _ = neighbors.NearestNeighbors(n_neighbors=1).fit(records.inputs().flatten(1)).kneighbors(x.flatten(1))
    assert nearest_mse(x, records).numpy() == pytest.approx(far[:, 0] ** 2 / 16, abs=1e-6)
    assert nearest_mse(records.inputs(), records).max() < 1e-12
