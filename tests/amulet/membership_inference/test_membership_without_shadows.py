"""The attacks without shadow models, and the views of an image."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import shift
from scipy.stats import norm
from torch import Tensor

from amulet.core import IncompatibleError, SettingError, Stream
from amulet.core.access import Access
from amulet.datasets import Records
from amulet.membership_inference import LabelOnly, LiRA, PopulationAttack, QuantileRegression
from amulet.membership_inference.attacks.population import shares_below
from amulet.membership_inference.attacks.quantile import expected
from amulet.membership_inference.attacks.views import MOST_VIEWS, image_views
from amulet.membership_inference.metrics import auc, measure
from amulet.models import predict
from tests.helpers.membership_toys import memorising, noise, toy


@pytest.mark.parametrize("kind", [PopulationAttack, QuantileRegression, LabelOnly])
def test_members_of_a_memorised_task_are_found_without_shadow_models(kind: type[PopulationAttack]) -> None:
    recipe, records, others = memorising(), noise(120), noise(300, 9, 9000)
    members = torch.arange(120) < 60
    evidence = kind(recipe.fit(records.take(members), 0), recipe, records, members, others).attack()
    (name,) = evidence.scores
    assert Access.TRAINING not in kind.needs
    assert auc(evidence.members, evidence.scores[name]) > 0.75
    measured = measure(evidence)
    assert measured.metrics["strongest.auc"] == measured.metrics[f"{name}.auc"]
    assert len(evidence.exposed["ids"]) == 60
    untrained = kind(recipe.fit(noise(60, 5, 5000), 0), recipe, records, members, others).attack()
    assert abs(auc(members.numpy(), untrained.scores[name]) - 0.5) < 0.15


def test_population_shares_are_counted_within_the_class() -> None:
    draw = np.random.default_rng(0)
    signals, y = draw.normal(size=50).round(1), draw.integers(0, 3, 50)
    others, other_y = draw.normal(size=80).round(1), draw.integers(0, 2, 80)  # nobody of class 2
    found = shares_below(signals, y, others, other_y)
    for i in range(50):
        same = others[other_y == y[i]] if y[i] < 2 else others
        below = sum(1.0 if other < signals[i] else 0.5 if other == signals[i] else 0.0 for other in same)
        assert found[i] == pytest.approx((below + 1) / (len(same) + 2))


def test_quantile_regression_finds_the_mean_and_the_spread_of_signals() -> None:
    """Signals that are Gaussian given the record: the score is the true number of standard deviations."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(4000, 2, generator=draw), torch.randint(2, (4000,), generator=draw)
    mean, spread = 4 * x[:, 0] + 3 * y, 0.2 + x[:, 1]
    signals = mean + spread * torch.randn(4000, generator=draw)
    table = dict(zip(map(tuple, x.tolist()), torch.stack([signals, -signals]).T.tolist(), strict=True))

    def answer(records: Records) -> Tensor:
        rows = torch.tensor([table[tuple(row)][0] for row in records.x.tolist()])
        sign = 2 * records.y.float() - 1  # the logit of class 1 against class 0
        return torch.stack([torch.zeros(len(rows)), sign * rows], dim=1)

    everything = Records.of(x, y)
    records, others = everything.take(torch.arange(1000)), everything.take(torch.arange(1000, 4000))
    attack = QuantileRegression(epochs=40, lr=0.01, batch_size=256)
    evidence = attack.run(answer, memorising(), records, torch.arange(1000) < 500, others, Stream(0))
    truth = ((signals - mean) / spread)[:1000].numpy()
    assert np.corrcoef(evidence.scores["quantile"], truth)[0, 1] > 0.95
    assert abs(norm.cdf(evidence.scores["quantile"]).mean() - 0.5) < 0.05


def test_expected_takes_the_outputs_of_the_class() -> None:
    mean, log_sigma = expected(torch.tensor([[1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 2.0, 100.0]]), torch.tensor([0, 1]))
    assert mean.tolist() == [1.0, 2.0]
    assert log_sigma.tolist() == pytest.approx([0.0, 3.0])  # bounded


def test_label_only_orders_records_by_their_distance_to_a_linear_boundary() -> None:
    x = torch.linspace(0, 1, 41).view(-1, 1).repeat(1, 2)
    records = Records.of(x, torch.ones(41))

    def answer(asked: Records) -> Tensor:
        margin = asked.x.sum(dim=1) - 0.9
        return torch.nn.functional.one_hot((margin > 0).long(), 2).float()  # labels alone

    attack = LabelOnly(queries=2000)
    score = attack.run(answer, None, records, torch.arange(41) < 20, records, Stream(0)).scores["robustness"]
    right = (x.sum(dim=1) > 0.9).numpy()
    assert score[right].min() > score[~right].max()
    assert np.corrcoef(np.argsort(np.argsort(score)), np.arange(41))[0, 1] > 0.98
    assert attack.manifest() == {"queries": 2001}


def test_label_only_does_not_depend_on_the_confidence() -> None:
    recipe, records, others = memorising(), noise(40), noise(30, 9, 9000)
    model = recipe.fit(records.take(torch.arange(20)), 0)
    members, attack = torch.arange(40) < 20, LabelOnly(queries=10)

    def labels(asked: Records) -> Tensor:
        return torch.nn.functional.one_hot(predict(model, asked).argmax(dim=1), 2)

    first, second = (
        attack.run(answer, None, records, members, others, Stream(0)).scores["robustness"]
        for answer in (partial(predict, model), labels)
    )
    np.testing.assert_array_equal(first, second)


def test_the_settings_of_the_noise_are_checked() -> None:
    with pytest.raises(SettingError, match=r"`smallest` must be at most `largest`, got 0.6 and 0.5"):
        LabelOnly(smallest=0.6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_views_are_the_image_mirrored_and_shifted_with_zeros_behind(dtype: torch.dtype) -> None:
    x = torch.randint(1, 255, (3, 2, 9, 11), generator=torch.Generator().manual_seed(0)).to(dtype)
    records = Records.of(x, torch.zeros(3))
    views = image_views(records, MOST_VIEWS)
    assert len(views) == MOST_VIEWS == 162
    assert views[0] is records
    moves = [(down, right) for down in range(-4, 5) for right in range(-4, 5)]
    wanted = {
        shift(image, (0, 0, down, right), order=0).tobytes()
        for image in (x.numpy(), x.flip(-1).numpy())
        for down, right in moves
    }
    assert {view.x.numpy().tobytes() for view in views} == wanted
    assert len({view.digest for view in views}) == MOST_VIEWS
    np.testing.assert_array_equal(views[1].x, x.flip(-1))
    assert all((view.x[:, :, 1:-1, 1:-1] != 0).all() for view in image_views(records, 10))  # at most a pixel


def test_tables_are_not_asked_in_mirror_images() -> None:
    with pytest.raises(IncompatibleError, match=r"`attack.queries` of 2 asks about mirrored and shifted images"):
        LiRA(queries=2).check(toy())
    LiRA(queries=2).check(dataclasses.replace(toy(), modality="image"))
    LiRA().check(toy())
