"""Which shadow model is trained on what, with which recipe, and what is trained again."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amulet.core import Factory, SettingError, Stream
from amulet.membership_inference.attacks import LiRA, MembershipAttack, Observed
from amulet.membership_inference.attacks.selection import against_shadows, averaged
from amulet.membership_inference.attacks.shadows import half_split, halves
from amulet.membership_inference.metrics import auc, measure
from amulet.models import predict
from amulet.training import Recipe
from tests.helpers.membership_toys import CountingStore, made_up, memorising, noise

SCORES = ("lira_online", "lira_offline", "rmia", "rmia_offline", "base", "loss")


@given(st.integers(2, 30), st.integers(2, 10), st.integers(1, 4), st.integers(0, 100))
def test_each_record_is_in_exactly_half_of_the_models(half: int, pairs: int, classes: int, seed: int) -> None:
    labels = torch.randint(classes, (2 * half,), generator=torch.Generator().manual_seed(seed))
    inside = halves(labels, 2 * pairs, Stream(seed))
    assert (inside.sum(dim=0) == pairs).all()
    assert (inside.sum(dim=1) == half).all()
    assert (inside[0::2] == ~inside[1::2]).all()
    for side in inside:
        counts = labels[side].bincount(minlength=classes) - labels[~side].bincount(minlength=classes)
        assert counts.abs().max() <= 2


def test_more_shadow_models_change_none_of_those_before() -> None:
    labels = torch.arange(40) % 2
    assert torch.equal(halves(labels, 8, Stream(0)), halves(labels, 16, Stream(0))[:8])


def test_pairs_are_drawn_independently_of_each_other_and_of_the_victim() -> None:
    labels, stream = torch.arange(2000) % 2, Stream(0)
    drawn = [*halves(labels, 12, stream)[::2]]
    victim = torch.zeros(2000, dtype=torch.bool)
    victim[half_split(labels, stream / "victim")[0]] = True
    drawn.append(victim)
    signs = torch.stack(drawn).double() * 2 - 1
    correlation = (signs @ signs.T / 2000).fill_diagonal_(0)
    assert correlation.abs().max() < 0.1  # 4.5 standard errors


def test_a_class_of_odd_size_favours_neither_half() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    first = [int((labels[half_split(labels, Stream(seed))[0]] == 0).sum()) for seed in range(400)]
    assert set(first) == {1, 2}
    assert 160 < first.count(1) < 240


def test_split_of_the_signals_follows_the_membership() -> None:
    seen = made_up(n=20)
    within, without = seen.split()
    for i in range(20):
        assert sorted(within[:, i]) == sorted(seen.shadows[seen.inside[:, i], i])
        assert sorted(without[:, i]) == sorted(seen.shadows[~seen.inside[:, i], i])


def test_each_shadow_model_is_attacked_with_the_others_but_its_pair() -> None:
    seen = made_up(n=40, shadows=8)
    inside = halves(torch.arange(40) % 2, 8, Stream(0)).numpy()
    seen = dataclasses.replace(seen, inside=inside)
    asked: list[Observed] = []

    def scores(observed: Observed) -> dict[str, np.ndarray]:
        asked.append(observed)
        return {"signal": observed.target, "opposite": -observed.target}

    found = against_shadows(scores, [seen])
    assert len(asked) == 8
    for k, observed in enumerate(asked):
        others = [i for i in range(8) if i // 2 != k // 2]
        np.testing.assert_array_equal(observed.target, seen.shadows[k])
        np.testing.assert_array_equal(observed.population_target, seen.population_shadows[k])
        np.testing.assert_array_equal(observed.shadows, seen.shadows[others])
        np.testing.assert_array_equal(observed.population_shadows, seen.population_shadows[others])
        np.testing.assert_array_equal(observed.inside, inside[others])
        assert (observed.inside.sum(axis=0) == 3).all()
        assert found["signal"][k] == auc(inside[k], seen.shadows[k])
    np.testing.assert_allclose(found["signal"] + found["opposite"], 1)
    judged = dataclasses.replace(seen, target=-seen.target, population_target=-seen.population_target)
    again = against_shadows(scores, [judged])  # the judged model's answers have no part in the choice
    assert all(np.array_equal(again[name], each) for name, each in found.items())


def test_several_views_of_the_records_count_by_their_mean_score() -> None:
    seen, flipped = made_up(n=40, shadows=8), made_up(n=40, shadows=8, seed=7)
    flipped = dataclasses.replace(flipped, inside=seen.inside)
    lira = LiRA(n_shadow=8)
    both, each = averaged(lira.scores, [seen, flipped]), [lira.scores(view) for view in (seen, flipped)]
    for name, score in both.items():
        np.testing.assert_allclose(score, (each[0][name] + each[1][name]) / 2)
    once, twice = against_shadows(lira.scores, [seen]), against_shadows(lira.scores, [seen, seen])
    assert all(np.array_equal(once[name], twice[name]) for name in once)
    assert not np.array_equal(against_shadows(lira.scores, [seen, flipped])["loss"], once["loss"])


class Several(MembershipAttack):
    """A useless score first, then one that tells members from others."""

    def __init__(self, *given: Any, n_shadow: int = 6) -> None:
        super().__init__(*given)
        self._set_shadows(n_shadow, "same_as_victim", None)

    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        return {"useless": np.zeros(len(observed.target)), "signal": observed.target}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "must return arrays by name, at least one, got NoneType"),
        ({}, "must return arrays by name"),
        ({"mine": np.zeros(3)}, r"must return \(40,\) numbers as mine, got \(3,\)"),
    ],
)
def test_scores_that_are_none_are_named(given: Any, message: str) -> None:
    class Broken(Several):
        def scores(self, observed: Observed) -> Any:
            return given

    records, others, recipe = noise(40), noise(10, 9, 900), memorising(epochs=1)
    model = recipe.fit(records.take(torch.arange(20)), 0)
    with pytest.raises(SettingError, match=message):
        Broken(model, recipe, records, torch.arange(40) < 20, others, n_shadow=4).attack()


@pytest.mark.parametrize(("n_shadow", "chosen"), [(4, "useless"), (6, "signal")])
def test_the_strongest_score_against_shadow_models_decides(n_shadow: int, chosen: str) -> None:
    records, others, recipe = noise(40), noise(10, 9, 900), memorising(epochs=5)
    model = recipe.fit(records.take(torch.arange(20)), 0)
    attack = Several(model, recipe, records, torch.arange(40) < 20, others, n_shadow=n_shadow)
    evidence = attack.attack()
    assert evidence.deciding == evidence.manifest["score"] == evidence.manifest["score_names"]["strongest"] == chosen
    measured = measure(evidence)
    assert measured.metrics["strongest.auc"] == measured.metrics[f"{chosen}.auc"]
    if n_shadow == 4:
        assert "fewer than 6 shadow models" in evidence.manifest["score_chosen"]
        assert "signal.auc_over_targets" not in measured.metrics
        return
    assert "against the shadow models" in evidence.manifest["score_chosen"]
    assert measured.metrics["useless.auc_over_targets"] == 0.5
    mean = measured.metrics["signal.auc_over_targets"]
    assert mean == pytest.approx(evidence.manifest["score_auc_over_targets"]["signal"], abs=1e-6)
    assert mean > 0.6


def attack_by_hand(recipe: Recipe, n: int = 40, **settings: object) -> None:
    records, others = noise(n), noise(10, 9, 900)
    model = memorising(epochs=1).fit(records, 5)
    members = torch.arange(n) < n // 2
    LiRA(model, recipe, records, members, others, **settings).attack()  # type: ignore[arg-type]


def test_shadow_models_are_kept_one_by_one() -> None:
    store = CountingStore()
    recipe = memorising(store, epochs=1)
    attack_by_hand(recipe, n_shadow=4)
    assert len(store.trained) == 4
    attack_by_hand(recipe, n_shadow=8)
    assert len(store.trained) == 8  # four new ones
    attack_by_hand(recipe, n_shadow=6, variance="per_example", offline="density")
    assert len(store.trained) == 8
    assert len(set(store.trained)) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": Factory("amulet.models.LinearNet", hidden=[32])},
        {"epochs": 2},
        {"optimizer": Factory("torch.optim.Adam", lr=0.003)},
    ],
)
def test_another_recipe_trains_other_shadow_models(change: dict[str, object]) -> None:
    store = CountingStore()
    recipe = memorising(store, epochs=1)
    attack_by_hand(recipe, n_shadow=4)
    attack_by_hand(recipe.changed(**change), n_shadow=4)
    assert len(set(store.trained)) == 8


def test_other_records_train_other_shadow_models() -> None:
    store = CountingStore()
    attack_by_hand(memorising(store, epochs=1), n_shadow=4)
    attack_by_hand(memorising(store, epochs=1), n=42, n_shadow=4)
    assert len(set(store.trained)) == 8


def test_the_attacked_model_is_left_as_it_was() -> None:
    records = noise(20)
    model = memorising(epochs=1).fit(records, 0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    LiRA(model, memorising(epochs=1), records, torch.arange(20) < 10, noise(10, 9, 900), n_shadow=4).attack()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_evidence_holds_the_answers_it_was_made_of() -> None:
    records, others, recipe = noise(20), noise(10, 9, 900), memorising(epochs=2)
    model = recipe.fit(records.take(torch.arange(10)), 0)
    evidence = LiRA(model, recipe, records, torch.arange(20) < 10, others, n_shadow=4).attack()
    assert evidence.ids.tolist() == records.ids.tolist()
    assert evidence.correct.tolist() == (predict(model, records).argmax(dim=1) == records.y).tolist()
    shapes = {name: array.shape for name, array in evidence.arrays().items()}
    assert shapes == {
        "ids": (20,),
        "members": (20,),
        "correct": (20,),
        "target_signals": (20,),
        "shadow_signals": (4, 20),
        "shadow_members": (4, 20),
        **{f"scores.{name}": (20,) for name in SCORES},
        **{f"exposed.{name}": (10,) for name in ("ids", "scores", "false_alarms")},
    }


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"n_shadow": 2}, "`n_shadow` must satisfy 4 <= n_shadow, got 2"),
        ({"n_shadow": 7}, "`n_shadow` must be even"),
        ({"shadow": "other"}, "`shadow` must be one of same_as_victim, standard; got other"),
        ({"pool_size": 3}, "`pool_size` must satisfy 4 <= pool_size, got 3"),
        ({"offline": "cdf"}, "`offline` must be one of tail, density; got cdf"),
        ({"variance": "global"}, "`variance` must be one of auto, shrunk, pooled, per_example; got global"),
        ({"queries": 0}, "`queries` must satisfy 1 <= queries <= 162, got 0"),
        ({"gamma": 0.5}, "`gamma` must satisfy 1 <= gamma, got 0.5"),
        ({"offline_a": 2}, "`offline_a` must satisfy 0 <= offline_a <= 1, got 2"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: dict[str, object], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        LiRA(**settings)  # type: ignore[arg-type]


def test_an_attack_by_hand_says_what_it_lacks() -> None:
    with pytest.raises(SettingError, match="must be built with a model"):
        LiRA().attack()
    with pytest.raises(SettingError, match="even number of candidates"):
        attack_by_hand(memorising(epochs=1), n=41, n_shadow=4)
