"""Dataset inference: distances, scores, the test's level, and verdicts on suspects."""

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.assessment import Outcome, Plan
from amulet.assessment import assess as assess_plan
from amulet.core import Factory, Measurement, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.poisoning.attacks import BadNets
from amulet.poisoning.defenses import OutlierRemoval
from amulet.training import DataSplits, Recipe, Victim
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet.unauth_model_ownership.defenses import DatasetInference
from amulet.unauth_model_ownership.defenses.boundary import NORMS, Distances, Stride, blind_walk, min_gd
from amulet.unauth_model_ownership.defenses.confidence import ConfidenceRegressor, embedding, welch_p_value
from amulet.unauth_model_ownership.metrics import Fingerprints, measure, measure_fingerprints
from amulet.unauth_model_ownership.protocol import assess

STRIDE = Stride(0.001, 1.5, 16)
WIDTH = 10


class Answer(nn.Module):
    """Gives a class by what `rule` says of an input, with logits that have no gradient."""

    def __init__(self, label: int = 0) -> None:
        super().__init__()
        self.label = label

    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(2)[torch.full((len(x),), self.label)] + 0 * x.flatten(1)[:, :1]


def table(n: int, seed: int, *, noise: float = 0.5, first: int = 0) -> Records:
    """Two classes that overlap, in 10 columns; `noise` of the labels are drawn by lot."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=draw)
    x = (0.45 + 0.1 * y.unsqueeze(1) + 0.2 * torch.randn(n, WIDTH, generator=draw)).clamp(0, 1)
    y = torch.where(torch.rand(n, generator=draw) < noise, torch.randint(2, (n,), generator=draw), y)
    return Records(x, y, torch.zeros(n, 0, dtype=torch.int64), torch.arange(first, first + n))


def net(seed: int, classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, classes)).eval()


def recipe(epochs: int = 40) -> Recipe:
    return Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[64]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=3e-2),
        epochs=epochs,
        batch_size=200,
    )


# Distances


def plane(seed: int) -> nn.Linear:
    """Two classes that a plane through the middle of all inputs divides."""
    torch.manual_seed(seed)
    model = nn.Linear(WIDTH, 2)
    with torch.no_grad():
        model.bias.copy_(-0.5 * model.weight.sum(dim=1))
    return model


def test_distances_of_a_linear_model_are_the_known_ones() -> None:
    model = plane(0)
    records = Records.of(torch.rand(20, WIDTH) * 0.2 + 0.4, torch.zeros(20))
    found = min_gd(model, records, STRIDE, 2).values
    with torch.no_grad():
        logits = model(records.x)
        answers, margin = logits.argmax(dim=1), (logits[:, 0] - logits[:, 1]).abs()
        w = model.weight[0] - model.weight[1]
    # How far a plane is in a norm: the margin over the dual norm of its normal.
    expected = torch.stack([margin / w.abs().max(), margin / w.norm(), margin / w.abs().sum()], dim=1)
    near = (expected[:, 0] < 0.3) & (expected[:, 2] < 0.2)  # so that no way is cut short by the box
    assert near.sum() >= 5
    other = found[torch.arange(20), :, 1 - answers]
    assert torch.allclose(other[near], expected[near], rtol=1e-3)
    assert (found[torch.arange(20), :, answers] == 0).all()


def test_a_way_to_each_class_is_never_shorter_than_the_shortest() -> None:
    model = net(1)
    records = Records.of(torch.rand(12, WIDTH, generator=torch.Generator().manual_seed(0)), torch.zeros(12))
    found = min_gd(model, records, STRIDE, 3).values
    with torch.no_grad():
        answers = model(records.x).argmax(dim=1)
        for place, norm in enumerate(NORMS):
            order = {"l1": 1.0, "l2": 2.0, "linf": float("inf")}[norm]
            for i, label in [(i, c) for i in range(12) for c in range(3) if c != answers[i]]:
                reached = found[i, place, label]
                if reached.isnan():
                    continue
                # No random point much nearer than what was found may have that class ...
                draw = torch.randn(400, WIDTH, generator=torch.Generator().manual_seed(i))
                draw = draw / torch.linalg.vector_norm(draw, order, dim=1, keepdim=True)
                inside = (records.x[i] + 0.3 * reached * draw).clamp(0, 1)
                assert (model(inside).argmax(dim=1) != label).float().mean() > 0.99
    # ... and norms are ordered as norms are.
    l1, l2, linf = found.unbind(dim=1)
    both = ~(found.isnan().any(dim=1))
    assert (linf[both] <= l1[both] + 1e-6).all()
    assert (linf[both] <= 1 + 1e-6).all()
    assert (l2[both] <= WIDTH**0.5 + 1e-6).all()


def test_what_does_not_flip_counts_as_that() -> None:
    records = Records.of(torch.rand(6, WIDTH), torch.zeros(6))
    for found in (
        min_gd(Answer(), records, STRIDE, 2),
        blind_walk(Answer(), records, STRIDE, 4, Stream(0)),
    ):
        assert found.values[..., -1].isnan().all()
        rows = embedding(found)
        assert rows.isfinite().all()
        longest = (found.reach / found.unit).double().log1p()
        assert torch.allclose(rows.view(6, 2, 3, -1)[:, 0, :, -1], longest.expand(6, 3))
        assert (rows.view(6, 2, 3, -1)[:, 1, :, -1] == 1).all()
    # The same way, ended one step before it gets there, tells no distance.
    few = min_gd(net(0), Records.of(torch.rand(30, WIDTH), torch.zeros(30)), Stride(1e-4, 1.0, 2), 3)
    assert few.values.isnan().float().mean() > 0.5
    assert (few.values.nan_to_num(0) <= few.reach.view(1, 3, 1) + 1e-6).all()


@settings(max_examples=6)
@given(seed=st.integers(0, 50), batch_size=st.sampled_from([1, 3, 7, 64]))
def test_rows_do_not_mix_records(seed: int, batch_size: int) -> None:
    model, records = net(seed), table(6, seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    whole = min_gd(model, records, STRIDE, 3)
    rows = embedding(whole, records.y)
    moved = records.take(order)
    assert torch.allclose(embedding(min_gd(model, moved, STRIDE, 3, batch_size), moved.y), rows[order], atol=1e-4)
    for i in range(6):
        alone = records.take(torch.tensor([i]))
        assert torch.allclose(embedding(min_gd(model, alone, STRIDE, 3), alone.y), rows[i : i + 1], atol=1e-4)


def test_every_feature_is_the_one_it_is_said_to_be() -> None:
    values = torch.arange(24, dtype=torch.float32).view(2, 3, 4)
    values[1, 2, 0] = torch.nan
    unit, reach = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([50.0, 100.0, 200.0])
    rows = embedding(Distances(values, unit, reach), torch.tensor([1, 3]))
    for record, label in ((0, 1), (1, 3)):
        expected: list[float] = []
        lengths = [
            [float(reach[p]) if values[record, p, c].isnan() else float(values[record, p, c]) for c in range(4)]
            for p in range(3)
        ]
        scaled = [[math.log1p(v / float(unit[p])) for v in lengths[p]] for p in range(3)]
        expected += [v for ways in scaled for v in ways]
        expected += [float(values[record, p, c].isnan()) for p in range(3) for c in range(4)]
        expected += [scaled[p][label] for p in range(3)]
        expected += [min(v for c, v in enumerate(scaled[p]) if c != label) for p in range(3)]
        assert rows[record].tolist() == pytest.approx(expected)


def test_walks_need_answers_only_and_go_the_same_ways() -> None:
    model, records = plane(0), table(30, 0)

    class Labels(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.eye(2)[model(x).argmax(dim=1)]

    found = blind_walk(Labels(), records, STRIDE, 5, Stream(3))
    again = blind_walk(model, records, STRIDE, 5, Stream(3))
    assert torch.equal(found.values.nan_to_num(-1), again.values.nan_to_num(-1))
    other = blind_walk(model, records, STRIDE, 5, Stream(4))
    assert not torch.equal(found.values.nan_to_num(-1), other.values.nan_to_num(-1))
    with torch.no_grad():
        wrong = model(records.x).argmax(dim=1) != records.y
    assert 0 < wrong.sum() < 30
    assert (found.values[wrong] == 0).all()
    assert (found.values[~wrong].nan_to_num(1) > 0).all()
    ways = found.values.nan_to_num(float("inf"))
    assert (ways[..., 1:] >= ways[..., :-1]).all()


def test_pictures_of_bytes_and_models_left_as_they_were() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).train()
    before = copy.deepcopy(model.state_dict())
    x = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8)
    found = min_gd(model, Records.of(x, torch.zeros(5)), STRIDE, 3)
    assert found.values.shape == (5, 3, 3)
    assert found.values.isfinite().any()
    blind_walk(model, Records.of(x, torch.zeros(5)), STRIDE, 2, Stream(0))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


# Scores and the test


@given(seed=st.integers(0, 1000), n=st.integers(2, 40), m=st.integers(2, 40), shift=st.floats(-2, 2))
def test_welch_against_scipy(seed: int, n: int, m: int, shift: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(n, generator=draw) * 2 + shift, torch.randn(m, generator=draw)
    expected = stats.ttest_ind(a.double().numpy(), b.double().numpy(), equal_var=False, alternative="greater")
    assert welch_p_value(a, b) == pytest.approx(float(expected.pvalue), rel=1e-9)


def test_scores_that_do_not_vary_tell_nothing() -> None:
    assert welch_p_value(torch.ones(5), torch.zeros(5)) == 1.0


def test_the_regressor_against_scikit_learns_ridge() -> None:
    from sklearn.linear_model import Ridge

    draw = torch.Generator().manual_seed(0)
    private = torch.randn(60, 4, generator=draw).double() + torch.tensor([0.5, 0.0, 0.0, 0.0])
    public = torch.randn(40, 4, generator=draw).double()
    private[:, 3] = public[:, 3] = 7.0  # a feature that says nothing
    scores = ConfidenceRegressor(private, public)
    rows = torch.cat([private, public])
    z = ((rows - rows.mean(dim=0)) / rows.std(dim=0).clamp_min(1e-9))[:, :3].numpy()
    ridge = Ridge(alpha=0.1 * 100).fit(z, np.r_[np.ones(60), -np.ones(40)])
    assert scores(rows).numpy() == pytest.approx(ridge.predict(z))
    assert scores(private).mean() > scores(public).mean()


def test_independent_models_are_accused_no_more_often_than_nominal() -> None:
    """The level over models and records drawn anew; feature rows that mix records reached 17 % at 0.1 %."""
    p_values: list[float] = []
    for number in range(40):
        private, public = table(120, 3 * number), table(120, 3 * number + 1)
        owner, other = net(number, 2), net(1000 + number, 2)
        learn(owner, private)
        learn(other, table(120, 3 * number + 2))
        defense = DatasetInference(owner, other, private, public, alpha=0.05)
        p_values.append(defense.fingerprint().p_value)
    hits = sum(p <= 0.05 for p in p_values)
    assert stats.binomtest(hits, len(p_values), 0.05, alternative="greater").pvalue > 0.01
    assert 0.25 < float(np.mean(p_values)) < 0.75


def learn(model: nn.Module, records: Records, steps: int = 40, rate: float = 0.04) -> None:
    """Full-batch training, enough to learn labels that are noise by heart in part."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(records.x), records.y).backward()
        optimizer.step()


# Verdicts


def test_by_hand_as_in_the_paper() -> None:
    private, public = table(400, 0), table(400, 1)
    owner = recipe(150).fit(private, Stream(0))
    tuned, other = copy.deepcopy(owner), recipe(150).fit(table(400, 2), Stream(1))
    learn(tuned, table(400, 3), steps=3, rate=0.003)
    loader = DataLoader(private, batch_size=50)
    verdicts = {
        name: DatasetInference(owner, suspect, loader, public, "cpu").fingerprint()
        for name, suspect in {"copy": copy.deepcopy(owner), "tuned": tuned, "other": other}.items()
    }
    assert verdicts["copy"].p_value < 1e-6
    assert verdicts["tuned"].p_value < 0.01
    assert verdicts["other"].p_value > 0.01
    assert min(verdicts["copy"].score, verdicts["tuned"].score) > verdicts["other"].score
    defense = DatasetInference(owner, owner, loader, public)
    assert defense.fingerprint() == verdicts["copy"]
    assert defense.verification is not None
    with pytest.raises(SettingError, match="must be built with the owner's model"):
        DatasetInference().fingerprint()


def test_walks_recognise_a_copy_too() -> None:
    private, public = table(400, 0), table(400, 1)
    owner, other = (recipe(150).fit(records, Stream(0)) for records in (private, table(400, 2)))
    judged = [
        DatasetInference(owner, suspect, private, public, features="blind_walk").fingerprint().p_value
        for suspect in (owner, other)
    ]
    assert judged[0] < 1e-4
    assert judged[1] > 0.01


def made_splits(defense: DatasetInference, epochs: int = 100) -> tuple[Victim, DataSplits]:
    data = AmuletDataset(
        name="toy",
        modality="tabular",
        train=table(800, 0),
        test=table(500, 1, first=10_000),
        num_classes=2,
    )
    plain = recipe(epochs)
    stream = Stream(0)
    at = DataSplits(
        data=data,
        victim_records=data.train.take(torch.arange(400)),
        adversary_records=data.train.take(torch.arange(400, 800)),
        stream=stream,
        runtime=plain.runtime,
        defenses=(defense,),
        plain_recipe=plain,
    )
    return Victim("defended", plain.changed(defenses=(defense,)), at.victim_records, stream / "victim"), at


def test_four_groups_of_records_that_share_none() -> None:
    defense = DatasetInference(records=200)
    victim, at = made_splits(defense, epochs=3)
    made_up = victim.records.take(torch.arange(5)).replace(ids=-1 - torch.arange(5))
    victim = dataclasses.replace(victim, records=victim.records.concat(made_up))
    verifier = defense.verifier(victim, at)
    ids = {name: verifier.groups[name].ids for name in ("regressor_private", "private", "regressor_public", "public")}
    assert verifier.manifest["records"] == dict.fromkeys(ids, 100)
    assert len(torch.cat(list(ids.values())).unique()) == 400
    for name, part in ids.items():
        owner = at.test_records if name.endswith("public") else at.victim_records
        assert torch.isin(part, owner.ids).all()
        assert np.array_equal(verifier.arrays[f"{name}_ids"], part.numpy())
    shares = [verifier.groups[name].y.double().mean().item() for name in ("private", "regressor_private")]
    assert shares == pytest.approx([at.victim_records.y.double().mean().item()] * 2, abs=0.02)
    model = victim.model
    assert verifier.judge(model) == verifier.judge(copy.deepcopy(model))


def test_suspects_of_all_kinds() -> None:
    defense = DatasetInference()
    victim, at = made_splits(defense)
    attack = ModelExtraction(suspects=1, independents=4, fine_tune_epochs=1)
    evidence = assess(victim, attack, at)
    measured = measure(evidence)
    assert measured.metrics["p_value"] < 1e-4
    assert measured.baselines["p_value"] > 0.01
    assert measured.metrics["ownership_fpr"] <= 0.25
    assert evidence.manifest["verification"]["datasetinference"]["features"] == "mingd"
    assert evidence.arrays()["datasetinference.details.private_ids"].shape == (200,)
    undefended = Victim("undefended", at.plain_recipe, victim.records, victim.stream)
    assert all(torch.equal(a, b) for a, b in zip(victim.model.parameters(), undefended.model.parameters(), strict=True))


def test_the_owners_own_model_is_judged_as_a_copy_of_it_and_shows_fingerprints() -> None:
    defense = DatasetInference()
    victim, at = made_splits(defense)
    verifier = defense.verifier(victim, at)
    judgement, shown = verifier.judge_owner(victim.model)
    assert judgement == verifier.judge(copy.deepcopy(victim.model))
    private, public = (verifier.groups[name] for name in ("private", "public"))
    assert shown.member.tolist() == [True] * len(private) + [False] * len(public)
    mean = shown.scores[shown.member].mean() - shown.scores[~shown.member].mean()
    assert mean.item() == pytest.approx(judgement.score)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(victim.model(private.x), private.y, reduction="none")
    assert torch.allclose(shown.losses[shown.member].float(), expected, atol=1e-5)
    assert torch.equal(shown.answers[:, -2:].argmax(dim=1), torch.cat([private.y, public.y]))


def shown(n: int, seed: int = 0) -> Fingerprints:
    """n records of each side. Rows tell `clear`, answers `said`, nothing `hidden`; scores lie 1 apart."""
    rng = np.random.default_rng(seed)
    values = {name: torch.from_numpy(rng.integers(2, size=2 * n)) for name in ("clear", "said", "hidden", "three")}
    values["three"] = torch.from_numpy(rng.integers(3, size=2 * n))
    member = torch.arange(2 * n) < n
    noise = torch.from_numpy(rng.standard_normal((2 * n, 4)))
    return Fingerprints(
        member=member,
        rows=torch.stack([noise[:, 0] + 2 * values["clear"], noise[:, 1] + 3 * values["three"]], dim=1),
        scores=noise[:, 2] + member,
        answers=noise[:, 3:] + 2 * values["said"].unsqueeze(1),
        losses=noise[:, 3] - 0.5 * member,
        attributes=values,
    )


def test_what_fingerprints_give_away_in_closed_form() -> None:
    measured = Measurement()
    measure_fingerprints(shown(3000), measured, "defended", {})
    described, plain = measured.metrics, measured.baselines

    def apart(distance: float) -> float:
        """AUC of two normal populations whose means lie so many deviations apart."""
        return float(stats.norm.cdf(distance / math.sqrt(2)))

    assert described["fingerprint_membership_auc"] == pytest.approx(apart(1), abs=0.02)
    assert plain["fingerprint_membership_auc"] == pytest.approx(apart(0.5), abs=0.02)
    assert described["clear.fingerprint_attribute_auc"] == pytest.approx(apart(2), abs=0.03)
    assert plain["said.fingerprint_attribute_auc"] == pytest.approx(apart(2), abs=0.03)
    for chance in (described["said.fingerprint_attribute_auc"], plain["clear.fingerprint_attribute_auc"]):
        assert chance == pytest.approx(0.5, abs=0.05)
    low, high = measured.intervals["hidden.fingerprint_attribute_auc"]
    assert low < described["hidden.fingerprint_attribute_auc"] < high
    assert described["three.fingerprint_attribute_auc"] > 0.85
    assert not measured.warnings


def test_too_few_fingerprints_tell_nothing_of_an_attribute() -> None:
    measured = Measurement()
    measure_fingerprints(shown(40), measured, "defended", {})
    assert math.isnan(measured.metrics["clear.fingerprint_attribute_auc"])
    assert "clear.fingerprint_attribute_auc" not in measured.baselines
    assert sum("too few to learn it from" in warning for warning in measured.warnings) == 4


def on_census(**changes: Any) -> Outcome:
    plan = Plan(
        data=load_census(limit=1500),
        architecture=Factory("amulet.models.LinearNet"),
        optimizer=Factory("torch.optim.Adam", lr=3e-3),
        epochs=30,
        batch_size=32,
        defenses=(DatasetInference(),),
        metrics=("unauth_model_ownership",),
    )
    return assess_plan(dataclasses.replace(plan, **changes))


def test_verification_is_asked_again_after_poisoning() -> None:
    few = {"suspects": 1, "independents": 2, "fine_tune_epochs": 1, "removers": {}}
    quick = {"unauth_model_ownership": few}
    found = on_census(attack=BadNets(rate=0.1), metrics=("poisoning", "S3"), attack_settings=quick).metrics["defended"]
    assert found["attack_success_rate"] > 0.9
    assert found["after_poisoning.p_value"] != found["p_value"]
    assert found["after_poisoning.p_value"] < 0.01, "an exact copy of the poisoned model"
    assert found["after_poisoning.fingerprint_membership_auc"] > 0.5
    other = on_census(defenses=(OutlierRemoval(),), attack=BadNets(rate=0.1), metrics=("S2",), epochs=1)
    assert not [name for name in other.metrics["defended"] if name.startswith("after_")]


def test_settings_train_no_model_anew() -> None:
    plain = recipe()
    records = table(20, 0)
    keys = {
        plain.changed(defenses=(DatasetInference(alpha=alpha),)).key(records, Stream(0)) for alpha in (0.01, 0.05, 0.1)
    }
    assert len(keys) == 1


def test_what_carries_little_is_told() -> None:
    defense = DatasetInference(steps=1)
    victim, at = made_splits(defense, epochs=3)
    warnings = defense.verifier(victim, at).warnings
    assert len([w for w in warnings if "did not reach another class" in w and "Raise defense.steps (1 now)" in w]) == 3
    few = DatasetInference(records=50)
    assert any("rests on 25 private and 25 public records" in w for w in few.verifier(victim, at).warnings)
    assert all(w.startswith("defended: ") for w in warnings)


def test_on_census_nothing_changes() -> None:
    attack = ModelExtraction(suspects=1, independents=2, fine_tune_epochs=1, epochs=3)
    metrics = on_census(attack=attack).metrics
    assert metrics["defended"]["p_value"] == metrics["undefended"]["p_value"] < 0.01
    assert metrics["defended"]["fidelity"] == metrics["undefended"]["fidelity"]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"features": "pgd"}, "`features` must be one of mingd, blind_walk; got pgd"),
        ({"records": 2}, "`records` must satisfy 4 <= records, got 2"),
        ({"steps": 0}, "`steps` must satisfy"),
        ({"step_size": 0.0}, "`step_size` must satisfy 0 < step_size <= 1, got 0.0"),
        ({"growth": 0.9}, "`growth` must satisfy"),
        ({"walks": 0}, "`walks` must satisfy"),
        ({"alpha": 1.0}, "`alpha` must satisfy"),
        ({"batch_size": 0}, "`batch_size` must satisfy"),
    ],
)
def test_settings_that_cannot_work(setting: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        DatasetInference(**setting)  # type: ignore[arg-type]


def test_data_that_cannot_be_cut_in_four() -> None:
    tiny = AmuletDataset(name="t", modality="tabular", train=table(3, 0), test=table(9, 1, first=50), num_classes=2)
    with pytest.raises(SettingError, match="needs 4 private and 4 public records, got 3 and 9"):
        DatasetInference().check(tiny)
