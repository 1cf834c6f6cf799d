"""Membership scores against the published formulas, written out record by record in plain numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from amulet.core import Diverged
from amulet.membership_inference.attacks import LiRA, membership_signal
from amulet.membership_inference.attacks.formulas import gaussians, lira_offline, lira_online, shrink
from tests.helpers.membership_toys import made_up


def plain_signal(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = p[np.arange(len(y)), y]
    return np.log(true / (1 - true))


def sigmoid(signal: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-signal))


def test_signal_is_the_scaled_logit() -> None:
    draw = np.random.default_rng(0)
    logits, y = draw.normal(0, 2, (50, 5)), draw.integers(0, 5, 50)
    found = membership_signal(torch.from_numpy(logits), torch.from_numpy(y))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, plain_signal(logits, y), atol=1e-9)


@given(st.floats(-1e30, 1e30), st.integers(2, 6), st.floats(-100, 100))
def test_signal_is_finite_and_ignores_a_constant_added_to_all_logits(
    size: float, classes: int, constant: float
) -> None:
    logits = torch.zeros(2, classes, dtype=torch.float32)
    logits[:, 0] = size
    y = torch.tensor([0, 1])
    assert np.isfinite(membership_signal(logits, y)).all()
    small = torch.linspace(-3, 3, 2 * classes).view(2, classes).double()
    np.testing.assert_allclose(membership_signal(small + constant, y), membership_signal(small, y), atol=1e-9)


def test_signals_of_saturated_models_keep_their_order() -> None:
    """Probabilities of float32 round to 1 here: the log of p / (1 - p) would be infinite, and all of them tied."""
    logits = torch.stack([torch.tensor([30.0, 60.0, 120.0, 1e6]), torch.zeros(4)], dim=1)
    assert (logits.softmax(dim=1)[:, 0] == 1).all()
    assert membership_signal(logits, torch.zeros(4, dtype=torch.int64)).tolist() == [30.0, 60.0, 120.0, 1e6]


def test_signal_refuses_logits_that_are_not_finite() -> None:
    with pytest.raises(Diverged, match="not finite"):
        membership_signal(torch.tensor([[float("nan"), 0.0]]), torch.tensor([0]))


@pytest.mark.parametrize("variance", ["per_example", "pooled", "shrunk"])
def test_lira_online_is_the_published_ratio(variance: str) -> None:
    seen = made_up()
    score = LiRA(n_shadow=8, variance=variance).scores(seen)["lira_online"]  # type: ignore[arg-type]
    sides = {side: [seen.shadows[seen.inside[:, i] == side, i] for i in range(60)] for side in (True, False)}
    pooled = {side: np.mean([np.var(own) for own in rows]) for side, rows in sides.items()}
    shrunk = {side: shrink(np.array([np.var(own) for own in rows]), 3) for side, rows in sides.items()}
    for i in range(60):
        density = {}
        for side in (True, False):
            own = sides[side][i]
            spread = {"pooled": pooled[side], "shrunk": shrunk[side][i], "per_example": np.var(own)}[variance]
            density[side] = norm.logpdf(seen.target[i], np.mean(own), np.sqrt(spread))
        assert score[i] == pytest.approx(density[True] - density[False], abs=1e-9)


@pytest.mark.parametrize("form", ["tail", "density"])
def test_lira_offline_is_the_published_test(form: str) -> None:
    seen = made_up(seed=1)
    attack = LiRA(n_shadow=8, variance="per_example", offline=form)  # type: ignore[arg-type]
    score = attack.scores(seen)["lira_offline"]
    for i in range(60):
        own = seen.shadows[~seen.inside[:, i], i]
        test = norm.logsf if form == "tail" else norm.logpdf
        assert score[i] == pytest.approx(-test(seen.target[i], np.mean(own), np.std(own)), abs=1e-9)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_rmia_is_the_published_count(mode: str, gamma: float) -> None:
    seen, a = made_up(seed=2), 0.3
    name = "rmia" if mode == "online" else "rmia_offline"
    score = LiRA(n_shadow=8, gamma=gamma, offline_a=a).scores(seen)[name]

    def scaled(mean: float) -> float:
        return ((1 + a) * mean + 1 - a) / 2 if mode == "offline" else mean

    z_ratios = [
        sigmoid(seen.population_target[j]) / scaled(float(sigmoid(seen.population_shadows[:, j]).mean()))
        for j in range(40)
    ]
    for i in range(60):
        used = seen.shadows[:, i] if mode == "online" else seen.shadows[~seen.inside[:, i], i]
        ratio = sigmoid(seen.target[i]) / scaled(float(sigmoid(used).mean()))
        expected = np.mean([ratio / z >= gamma for z in z_ratios])
        assert score[i] == pytest.approx(expected, abs=1e-9)


def test_base_is_the_log_of_the_confidence_over_its_mean_and_orders_records_as_rmia() -> None:
    seen = made_up(seed=3, population=2000)
    scores = LiRA(n_shadow=8).scores(seen)
    for i in range(60):
        expected = np.log(sigmoid(seen.target[i]) / sigmoid(seen.shadows[:, i]).mean())
        assert scores["base"][i] == pytest.approx(expected, abs=1e-9)
    assert (np.diff(scores["rmia"][np.argsort(scores["base"])]) >= 0).all()
    assert len(np.unique(scores["base"])) == 60


def test_loss_is_the_negative_cross_entropy() -> None:
    seen = made_up()
    np.testing.assert_allclose(LiRA(n_shadow=8).scores(seen)["loss"], np.log(sigmoid(seen.target)), atol=1e-9)


def test_rmia_tells_sure_models_from_surer_ones() -> None:
    """1e-30 and 1e-20 of doubt are both a probability of 1 in float64; the ratio must not call them equal."""
    seen = made_up(n=2)
    sure = type(seen)(
        target=np.array([70.0, 45.0]),
        shadows=np.full((8, 2), 46.0),
        inside=seen.inside,
        population_target=np.full(1, 46.0),
        population_shadows=np.full((8, 1), 46.0),
    )
    assert LiRA(n_shadow=8).scores(sure)["rmia"].tolist() == [1.0, 0.0]


def test_pooled_variance_leaves_out_the_spread_between_records() -> None:
    within = np.array([[0.0, 100.0], [2.0, 102.0]])  # each record has variance 1; all four values together 2501
    _, std = gaussians(within, "pooled")
    assert std.tolist() == [1.0, 1.0]


def test_auto_shrinks_below_64_shadow_models() -> None:
    assert LiRA(n_shadow=62).estimate == "shrunk"
    assert LiRA(n_shadow=64).estimate == "per_example"
    assert LiRA(n_shadow=4, variance="per_example").estimate == "per_example"


def test_tail_keeps_apart_what_the_distribution_function_ties() -> None:
    without = np.array([[-1.0] * 3, [1.0] * 3])
    target = np.array([9.0, 20.0, 35.0])
    assert len(np.unique(norm.cdf(target, 0, 1))) == 1
    score = lira_offline(target, without, "pooled", "tail")
    assert (np.diff(score) > 0).all()


def test_density_takes_the_unusually_unsure_for_members() -> None:
    without = np.array([[-1.0, -1.0], [1.0, 1.0]])
    target = np.array([-5.0, 5.0])
    density = lira_offline(target, without, "pooled", "density")
    tail = lira_offline(target, without, "pooled", "tail")
    assert density[0] == density[1]
    assert tail[0] < 1e-6 < tail[1]


def test_shrinking_finds_how_much_the_records_differ() -> None:
    """Variances drawn from the prior with d0 = 6 and s0 = 2, then estimated with 7 degrees of freedom."""
    draw = np.random.default_rng(0)
    true = 2 * 6 / draw.chisquare(6, 20_000)
    seen = true * draw.chisquare(7, 20_000) / 7
    np.testing.assert_allclose(shrink(seen, 7), (6 * 2 + 7 * seen) / 13, rtol=0.05)
    error = [np.square(np.log(guess / true)).mean() for guess in (seen, np.full_like(seen, seen.mean()))]
    assert np.square(np.log(shrink(seen, 7) / true)).mean() < 0.75 * min(error)


def test_shrinking_makes_one_of_variances_that_differ_by_chance() -> None:
    seen = 3 * np.random.default_rng(1).chisquare(7, 20_000) / 7
    assert shrink(seen, 7) == pytest.approx(3, rel=0.02)
    assert np.ptp(shrink(np.full(5, 0.2), 7)) == 0


@given(st.lists(st.floats(1e-12, 1e60), min_size=2, max_size=20), st.integers(1, 31))
def test_shrinking_keeps_order_and_sign(variances: list[float], degrees: int) -> None:
    shrunk = shrink(np.array(variances), degrees)
    assert (shrunk > 0).all()
    assert np.isfinite(shrunk).all()
    assert (np.diff(shrunk[np.argsort(variances)]) >= 0).all()


@pytest.mark.parametrize("variance", ["shrunk", "pooled", "per_example"])
def test_scores_are_finite_whatever_the_signals(variance: str) -> None:
    same = np.full((4, 3), 1e30)  # shadow models that agree to the last bit, saturated
    target = np.array([-1e30, 1e30, 0.0])
    for score in (
        lira_online(target, same, same, variance),  # type: ignore[arg-type]
        lira_offline(target, same, variance, "tail"),  # type: ignore[arg-type]
        lira_offline(target, same, variance, "density"),  # type: ignore[arg-type]
    ):
        assert np.isfinite(score).all()
    seen = made_up(n=3)
    wild = type(seen)(
        target=target,
        shadows=np.vstack([same, -same]),
        inside=seen.inside,
        population_target=target,
        population_shadows=np.vstack([same, -same]),
    )
    for name, score in LiRA(n_shadow=8).scores(wild).items():
        assert np.isfinite(score).all(), name
