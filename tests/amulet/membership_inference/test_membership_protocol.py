"""Membership inference end to end on small tasks."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from amulet.assessment import Plan, assess, check
from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.membership_inference import protocol
from amulet.membership_inference.attacks import LiRA, MembershipAttack, Observed
from amulet.membership_inference.metrics import auc, auc_interval, measure
from amulet.models import predict
from amulet.training import Defense, Hook, Loss, LossFunction, Prepared, Recipe, Runtime, Training, Victim
from tests.helpers.membership_toys import CountingStore, made_splits, memorising, noise, toy, victim

SCORES = ("lira_online", "lira_offline", "rmia", "rmia_offline", "base", "loss")


class Smoothing(Defense):
    """Label smoothing: another way to train, so that the victim's recipe is not the plain one."""

    risk = "membership_inference"
    stage = "in"

    def hook(self) -> Hook:
        return _Smooth()


class _Smooth(Hook):
    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        loss = inner(batch)
        uniform = -loss.logits.log_softmax(dim=1).mean(dim=1)
        return Loss(loss.values + uniform, loss.logits)


class DropThird(Defense):
    """Takes records out before training and says which."""

    risk = "poisoning"
    stage = "before"

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        gone = torch.arange(len(records)) % 3 == 0
        return Prepared(records.take(~gone), arrays={"ids": records.ids.numpy(), "removed": gone.numpy()})


def test_a_memorised_task_gives_its_members_away() -> None:
    recipe = memorising()
    here = made_splits(recipe)
    evidence = protocol.assess(victim(recipe, here), LiRA(n_shadow=8), here)
    found = {name: auc(evidence.members, evidence.scores[name]) for name in SCORES}
    assert found["lira_online"] > 0.9
    assert found["lira_offline"] > 0.85
    assert found["rmia"] > 0.8
    assert found["loss"] > 0.8
    density = LiRA(n_shadow=8, offline="density")
    worse = protocol.assess(victim(recipe, here), density, here).scores["lira_offline"]
    assert auc(evidence.members, worse) < found["lira_offline"] - 0.05


def test_members_like_non_members_are_at_chance() -> None:
    """The attacked model has seen none of the candidates; the shadow models memorise theirs."""
    recipe, records, others = memorising(), noise(400), noise(200, 9, 9000)
    model = recipe.fit(noise(200, 5, 5000), 3)
    members = torch.rand(400, generator=torch.Generator().manual_seed(1)).argsort() < 200
    evidence = LiRA(model, recipe, records, members, others, n_shadow=8).attack()
    for name in SCORES:
        low, high = auc_interval(evidence.members, evidence.scores[name])
        error = (high - low) / 2 / 1.96
        assert abs(auc(evidence.members, evidence.scores[name]) - 0.5) < 3 * error, name


def test_shadow_models_of_another_recipe_see_less() -> None:
    """What happens when the shadow models are not trained as the victim is, and why the default is that they are."""
    here = made_splits(memorising())
    seen = protocol.assess(victim(memorising(), here), LiRA(n_shadow=8), here)
    barely = memorising(epochs=1)
    blind = protocol.assess(
        victim(memorising(), here), LiRA(n_shadow=8, shadow="standard"), here.changed(plain_recipe=barely)
    )
    online = [auc(e.members, e.scores["lira_online"]) for e in (seen, blind)]
    assert online[0] > online[1] + 0.05


def test_shadow_models_have_the_recipe_that_was_asked_for() -> None:
    store = CountingStore()
    recipe = memorising(store, epochs=2, defenses=(Smoothing(),))
    here = made_splits(recipe)
    defended = victim(recipe, here)
    protocol.assess(defended, LiRA(n_shadow=4), here)
    as_victim = set(store.trained)
    assert len(as_victim) == 5  # the victim on its half, and four shadow models
    protocol.assess(defended, LiRA(n_shadow=4, shadow="standard"), here)
    standard = set(store.trained) - as_victim
    assert len(standard) == 4
    protocol.assess(victim(recipe.plain(), here), LiRA(n_shadow=4), here)
    plain = set(store.trained) - as_victim - standard
    assert len(plain) == 1  # the undefended victim; its shadow models are the standard ones


def test_both_victims_are_attacked_on_the_same_records() -> None:
    recipe = memorising(epochs=2, defenses=(Smoothing(),))
    here = made_splits(recipe)
    defended = protocol.assess(victim(recipe, here), LiRA(n_shadow=4), here)
    plain = protocol.assess(victim(recipe.plain(), here), LiRA(n_shadow=4), here)
    for name in ("ids", "members", "shadow_members"):
        assert np.array_equal(defended.arrays()[name], plain.arrays()[name])
    assert not np.array_equal(defended.target_signals, plain.target_signals)


def test_members_and_others_are_equal_in_number_and_in_classes() -> None:
    recipe = memorising(epochs=1)
    here = made_splits(recipe, 121)
    attacked: list[Records] = []

    class Spy(Victim):
        def on(self, records: Records, suffix: str = "") -> Victim:
            attacked.append(records)
            return super().on(records, suffix)

    spied = Spy("undefended", recipe, here.victim_records, here.stream / "victim")
    evidence = protocol.assess(spied, LiRA(n_shadow=4), here)
    assert len(evidence.ids) == 120  # an odd record is left out
    assert evidence.members.sum() == 60
    assert set(evidence.ids[evidence.members]) == set(attacked[0].ids.tolist())
    labels = dict(zip(here.data.train.ids.tolist(), here.data.train.y.tolist(), strict=True))
    classes = np.array([labels[i] for i in evidence.ids])
    assert abs(int(classes[evidence.members].sum()) - int(classes[~evidence.members].sum())) <= 2
    assert not set(evidence.ids) & set(here.test_records.ids.tolist())
    assert evidence.manifest["members"] == evidence.manifest["non_members"] == 60
    assert evidence.manifest["members_digest"] == attacked[0].digest[:16]
    assert evidence.manifest["shadow"] == "same_as_victim"


def test_pool_size_draws_that_many_and_keeps_to_the_seed() -> None:
    recipe = memorising(epochs=1)
    here = made_splits(recipe)
    attack = LiRA(n_shadow=4, pool_size=41)
    first, again = (protocol.assess(victim(recipe, here), attack, here) for _ in range(2))
    assert len(first.ids) == 40
    assert not first.whole_split, "another seed has other candidates"
    assert protocol.assess(victim(recipe, here), LiRA(n_shadow=4), here).whole_split
    assert all(np.array_equal(first.arrays()[name], again.arrays()[name]) for name in first.arrays())
    drawn = [made_splits(recipe, 121, seed) for seed in (0, 1)]
    odd = [protocol.assess(victim(recipe, one), LiRA(n_shadow=4), one) for one in drawn]
    assert all(one.whole_split for one in odd)
    assert np.array_equal(odd[0].ids, odd[1].ids)
    other = made_splits(recipe, seed=1)
    assert set(protocol.assess(victim(recipe, other), attack, other).ids) != set(first.ids)


def test_taken_out_members_are_told_from_those_retained() -> None:
    recipe = memorising(epochs=2, defenses=(DropThird(),))
    here = made_splits(recipe)
    evidence = protocol.assess(victim(recipe, here), LiRA(n_shadow=4), here)
    assert evidence.members.sum() == 60  # a member is a record given to the recipe
    assert evidence.retained is not None
    assert evidence.retained.sum() == evidence.manifest["retained_members"] == 40
    assert not (evidence.retained & ~evidence.members).any()
    assert "lira_online.retained.auc" in measure(evidence).metrics
    assert protocol.assess(victim(recipe.plain(), here), LiRA(n_shadow=4), here).retained is None


class Accounted(Defense):
    """Claims a budget, as differentially private training does, or that there is none to be claimed."""

    risk = "membership_inference"
    stage = "in"

    def __init__(self, *, spent: float | None) -> None:
        self.spent = spent

    def hook(self) -> Hook:
        return _Claim(self.spent)


class _Claim(Hook):
    def __init__(self, spent: float | None) -> None:
        self.spent = spent

    def finish(self, training: Training) -> dict[str, Any]:
        return {"epsilon": self.spent, "delta": 1e-5}


@pytest.mark.parametrize("spent", [1.5, None])
def test_what_privacy_was_accounted_for_stands_beside_the_attack(spent: float | None) -> None:
    recipe = memorising(epochs=1, defenses=(Accounted(spent=spent),))
    here = made_splits(recipe)
    evidence = protocol.assess(victim(recipe, here), LiRA(n_shadow=4), here)
    assert evidence.delta == 1e-5
    measured = measure(evidence)
    assert ("auc_bound" in measured.metrics) == (spent is not None)
    epsilon = measured.metrics["epsilon"]
    assert epsilon == spent if spent else math.isnan(epsilon)
    plain = protocol.assess(victim(recipe.plain(), here), LiRA(n_shadow=4), here)
    assert "epsilon" not in measure(plain).metrics


def test_a_pool_larger_than_the_data_is_refused_before_training() -> None:
    with pytest.raises(SettingError, match=r"`attack.pool_size` must be at most the 120 training records, got 121"):
        protocol.check(LiRA(pool_size=121), (), toy())
    protocol.check(LiRA(pool_size=121), (), None)
    protocol.check(LiRA(pool_size=120), (), toy())


class Quantile(MembershipAttack):
    """An attack of a user's own: how far the attacked model's signal is above the shadow models'."""

    def __init__(self, *given: Any, n_shadow: int = 4) -> None:
        super().__init__(*given)
        self._set_shadows(n_shadow, "same_as_victim", None)

    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        return {"quantile": (observed.target > observed.shadows).mean(axis=0)}


def test_an_attack_says_itself_what_is_to_be_known_of_it() -> None:
    recipe = memorising(epochs=1)
    here = made_splits(recipe)
    own = protocol.assess(victim(recipe, here), Quantile(), here)
    assert set(own.scores) == {"quantile"}
    assert not {"variance", "offline", "queries"} & own.manifest.keys()
    lira = protocol.assess(victim(recipe, here), LiRA(n_shadow=4, variance="pooled"), here)
    assert (lira.manifest["variance"], lira.manifest["offline"], lira.manifest["queries"]) == ("pooled", "tail", 1)
    for evidence, gaussians in ((own, False), (lira, True)):
        (warning,) = evidence.warnings
        assert warning.startswith("undefended: 4 shadow models")
        assert "Raise attack.n_shadow to 16" in warning
        assert ("Gaussians" in warning) == gaussians
    assert LiRA(n_shadow=16).warnings() == Quantile(n_shadow=16).warnings() == []


def test_an_attack_asks_for_the_data_it_needs() -> None:
    class Picky(Quantile):
        def check(self, data: AmuletDataset) -> None:
            raise SettingError(f"not on {data.name}")

    with pytest.raises(SettingError, match="not on toy"):
        protocol.check(Picky(), (), toy())
    protocol.check(Picky(), (), None)


class DropFirst(DropThird):
    """Takes out one record that the other leaves, and sees only what that one left."""

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        gone = torch.arange(len(records)) == 0
        return Prepared(records.take(~gone), arrays={"ids": records.ids.numpy(), "removed": gone.numpy()})


def test_what_several_defences_take_out_counts_together() -> None:
    recipe = memorising(epochs=1, defenses=(DropThird(), DropFirst()))
    here = made_splits(recipe)
    evidence = protocol.assess(victim(recipe, here), LiRA(n_shadow=4), here)
    assert evidence.retained is not None
    assert evidence.retained.sum() == 39


def test_assessed_on_census_with_a_defence() -> None:
    plan = Plan(
        data=load_census(limit=600),
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        optimizer=Factory("torch.optim.Adam", lr=0.01),
        epochs=2,
        defenses=(Smoothing(),),
        attack=LiRA(n_shadow=4),
        runtime=Runtime(),
    )
    check(dataclasses.replace(plan, data=None))
    outcome = assess(plan)
    for name in ("undefended", "defended"):
        assert 0 <= outcome.metrics[name]["lira_online.auc"] <= 1
        assert math.isnan(outcome.metrics[name]["lira_online.tpr_at_1pct_fpr"])
        assert outcome.influences[name]["strongest.auc"].records == 600
        low, high = outcome.intervals[name]["rmia.auc"]
        assert low < outcome.metrics[name]["rmia.auc"] < high
        assert f"{name}.membership_inference.scores.loss" in outcome.arrays
        assert any(warning.startswith(f"{name}: 4 shadow models") for warning in outcome.warnings)
    assert isinstance(protocol.default_attack(()), LiRA)
    assert protocol.default_attack(()).n_shadow == 16


def test_saturated_victims_have_finite_scores() -> None:
    """A model whose probabilities round to 0 and 1 in float32 is scored from its logits."""
    records, others, recipe = noise(60), noise(30, 9, 9000), memorising()
    model = recipe.fit(records.take(torch.arange(30)), 0)
    with torch.no_grad():
        last = [p for p in model.parameters() if p.dim() == 2][-1]
        last.mul_(1e4)
    assert set(predict(model, records).softmax(dim=1).unique().tolist()) <= {0.0, 1.0}
    evidence = LiRA(model, recipe, records, torch.arange(60) < 30, others, n_shadow=4).attack()
    for name in SCORES:
        assert np.isfinite(evidence.scores[name]).all(), name
    assert len(np.unique(evidence.scores["lira_online"])) == 60
