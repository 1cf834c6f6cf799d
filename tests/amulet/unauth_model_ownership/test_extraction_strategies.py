"""What is asked of the victim: inputs that are made, strategies in rounds, and no more than is granted."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import Factory, SettingError, Stream
from amulet.core.access import Access
from amulet.datasets import AmuletDataset, Records, stratified_split
from amulet.models import LinearNet, predict
from amulet.models.inspect import features
from amulet.training import DataSplits, Recipe, Victim
from amulet.unauth_model_ownership.attacks import Means, ModelExtraction, Oracle
from amulet.unauth_model_ownership.attacks.pool import made_up, noise, other_data, shuffled
from amulet.unauth_model_ownership.attacks.strategies import entropy, jacobian, k_center, margin
from amulet.unauth_model_ownership.metrics import measure
from amulet.unauth_model_ownership.protocol import assess, check, check_splits

GROUPS = ((2, 5), (6, 8))


def coded(n: int, seed: int = 0, first: int = 0) -> Records:
    """Two classes; columns 2 to 4 and 6 to 7 are one-hot codes, the other four numbers."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=draw)
    x = (0.3 + 0.4 * y.unsqueeze(1) + 0.2 * torch.randn(n, 8, generator=draw)).clamp(0, 1)
    for start, end in GROUPS:
        x[:, start:end] = F.one_hot(
            (x[:, start:end] + torch.rand(n, end - start, generator=draw)).argmax(1), end - start
        )
    return Records(x, y, torch.zeros(n, 1, dtype=torch.int64), torch.arange(first, first + n), ("group",))


def scene() -> tuple[Victim, DataSplits]:
    data = AmuletDataset(
        name="coded", modality="tabular", train=coded(400), test=coded(300, 1, 10_000), num_classes=2, groups=GROUPS
    )
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=4,
        batch_size=32,
    )
    stream = Stream(0)
    mine, theirs = stratified_split(data.train.y, [200, 200], (stream / "split").generator())
    splits = DataSplits(
        data=data,
        victim_records=data.train.take(mine),
        adversary_records=data.train.take(theirs),
        stream=stream,
        runtime=recipe.runtime,
        plain_recipe=recipe,
    )
    return Victim("undefended", recipe, splits.victim_records, stream / "victim"), splits


def network(seed: int = 0) -> nn.Module:
    with Stream(seed).seed_global():
        return LinearNet((8,), 2, hidden=[16]).eval()


# What the victim grants.


@pytest.mark.parametrize(
    ("objective", "needs"),
    [("kl", Access.PROBABILITIES), ("logit_mse", Access.LOGITS), ("hard_labels", Access.LABELS)],
)
def test_an_attack_needs_the_answers_that_it_learns_from(objective: Any, needs: Access) -> None:
    attack = ModelExtraction(objective=objective)
    assert attack.needs == needs | Access.QUERIES
    assert attack.changed(objective="hard_labels").needs == Access.LABELS | Access.QUERIES
    victim, splits = scene()
    seen: list[Tensor] = []

    class Watching(ModelExtraction):
        def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
            seen.append(oracle.ask(records))
            return super().query(oracle, records, stream)

    assess(victim, Watching(objective=objective), splits)
    logits = victim.logits(splits.adversary_records)
    if objective == "hard_labels":
        assert torch.equal(seen[0], F.one_hot(logits.argmax(dim=1), 2).float())
    elif objective == "kl":
        assert torch.allclose(seen[0].exp(), logits.softmax(dim=1))
        assert not torch.allclose(seen[0], logits)
    else:
        assert torch.equal(seen[0], logits)


# Inputs.


def test_shuffled_inputs_have_each_block_from_a_record() -> None:
    records = coded(50)
    x = shuffled(records, 200, GROUPS, Stream(0))
    assert x.shape == (200, 8)
    for start, end in ((0, 1), (1, 2), (2, 5), (5, 6), (6, 8)):
        there = {tuple(row) for row in records.x[:, start:end].tolist()}
        assert {tuple(row) for row in x[:, start:end].tolist()} <= there
    rows = {tuple(row) for row in records.x.tolist()}
    assert sum(tuple(row) in rows for row in x.tolist()) < 5
    # Columns that go together in records no longer do.
    assert abs(torch.corrcoef(x[:, :2].T)[0, 1]) < 0.2 < torch.corrcoef(records.x[:, :2].T)[0, 1]


def test_shuffled_images_are_put_together_of_tiles() -> None:
    values = torch.arange(20, dtype=torch.uint8)
    images = Records.of(values.view(20, 1, 1, 1).expand(20, 3, 8, 8).contiguous(), torch.zeros(20))
    x = shuffled(images, 6, (), Stream(0))
    assert x.dtype == torch.uint8
    tiles = x.view(6, 3, 4, 2, 4, 2)
    assert torch.equal(tiles.amin(dim=(1, 3, 5)), tiles.amax(dim=(1, 3, 5)))
    assert len(x[0].unique()) > 5


def test_noise_keeps_one_hot_codes() -> None:
    x = noise(coded(50), 300, GROUPS, Stream(0))
    for start, end in GROUPS:
        assert torch.equal(x[:, start:end].sum(dim=1), torch.ones(300))
        assert set(x[:, start:end].unique().tolist()) == {0.0, 1.0}
    assert 0.4 < x[:, 0].mean() < 0.6


def other_table(*, columns: int = 8) -> AmuletDataset:
    x = torch.rand(30, columns, generator=torch.Generator().manual_seed(3))
    test = Records(x, torch.zeros(30).long(), torch.zeros(30, 0).long(), torch.arange(30, 60))
    return AmuletDataset(
        name="other", modality="tabular", train=Records.of(x, torch.zeros(30)), test=test, num_classes=2
    )


def other_images() -> AmuletDataset:
    x = torch.full((5, 3, 6, 6), 51, dtype=torch.uint8)
    test = Records(x, torch.zeros(5).long(), torch.zeros(5, 0).long(), torch.arange(5, 10))
    return AmuletDataset(
        name="pictures", modality="image", train=Records.of(x, torch.zeros(5)), test=test, num_classes=2
    )


def test_other_data_are_asked_or_refused_before_training() -> None:
    victim, splits = scene()
    path = f"{__name__}.other_table"
    attack = ModelExtraction(inputs=path, queries=20)
    check(attack, (), splits.data)
    found = assess(victim, attack, splits)
    assert found.manifest["queries"] == 20
    assert torch.allclose(other_data(f"{__name__}.other_images", (1, 4, 4)), torch.full((5, 1, 4, 4), 0.2))
    with pytest.raises(SettingError, match=r"`attack.queries` must be at most 30, what .*other_table loads; got 31"):
        check(attack.changed(queries=31), (), splits.data)
    with pytest.raises(SettingError, match=r"`attack.inputs` must have inputs of shape \(8,\)"):
        check(attack.changed(inputs=f"{__name__}.other_images"), (), splits.data)
    with pytest.raises(SettingError, match="`inputs` must be one of records, shuffled, noise"):
        ModelExtraction(inputs="shufled")


# Strategies.


def test_uncertainty_is_that_of_the_probabilities() -> None:
    from scipy.stats import entropy as reference

    model, pool = network(), coded(60, 5)
    p = predict(model, pool).softmax(dim=1).double().numpy()
    wanted = (-reference(p, axis=1)).argsort()[:10]
    assert sorted(entropy(model, pool, pool, 10).tolist()) == sorted(wanted.tolist())
    apart = abs(p[:, 0] - p[:, 1])
    assert sorted(margin(model, pool, pool, 10).tolist()) == sorted(apart.argsort()[:10].tolist())


def test_k_center_is_the_greedy_algorithm_by_the_book() -> None:
    model, pool, asked = network(), coded(40, 5), coded(4, 6)
    there, centres = features(model, pool), list(features(model, asked))
    wanted: list[int] = []
    for _ in range(6):
        far = [min(float((one - centre).norm()) for centre in centres) for one in there]
        wanted.append(max(range(40), key=far.__getitem__))
        centres.append(there[wanted[-1]])
    assert k_center(model, pool, asked, 6).tolist() == wanted


def test_k_center_takes_no_input_twice() -> None:
    doubled = coded(3).take(torch.tensor([0, 0, 0, 1, 1, 2]))
    assert sorted(k_center(network(), doubled, coded(1, 8), 6).tolist()) == list(range(6))


def test_a_jacobian_step_is_along_the_weights_of_a_linear_model() -> None:
    model = nn.Linear(8, 3)
    with torch.no_grad():
        model.weight.copy_(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)))
    asked = coded(20).replace(targets=torch.randn(20, 3, generator=torch.Generator().manual_seed(1)))
    assert asked.targets is not None
    wanted = (asked.x + 0.3 * model.weight[asked.targets.argmax(dim=1)].sign()).clamp(0, 1)
    assert torch.allclose(jacobian(model, asked, 0.3), wanted)
    assert model.weight.grad is None


@pytest.mark.parametrize("strategy", ["margin", "entropy", "k_center", "jacobian"])
@pytest.mark.parametrize("inputs", ["records", "shuffled"])
def test_rounds_keep_the_budget_and_ask_nothing_twice(strategy: Any, inputs: str) -> None:
    _, splits = scene()
    asked: list[Records] = []
    learned: list[int] = []
    owner = network(1)

    def answer(records: Records) -> Tensor:
        asked.append(records)
        return predict(owner, records)

    def learn(part: Records) -> nn.Module:
        assert part.targets is not None
        learned.append(len(part))
        return network(2)

    attack = ModelExtraction(strategy=strategy, inputs=inputs, queries=48, rounds=4, objective="logit_mse")
    oracle = Oracle(answer)
    bought = attack.gather(oracle, splits.adversary_records, Stream(0), Means(learn, GROUPS))
    assert oracle.queries == len(bought) == 48
    assert learned == ([6, 12, 24] if strategy == "jacobian" else [12, 24, 36])
    assert len(bought.ids.unique()) == 48
    assert torch.equal(torch.cat([part.ids for part in asked]), bought.ids), "in the order of asking"
    assert bought.targets is not None
    assert torch.allclose(bought.targets, predict(owner, bought), atol=1e-5)
    if inputs == "records" and strategy != "jacobian":
        assert torch.isin(bought.ids, splits.adversary_records.ids).all()
    again = attack.gather(Oracle(answer), splits.adversary_records, Stream(0), Means(learn, GROUPS))
    assert torch.equal(again.x, bought.x)


def test_a_smaller_budget_of_rounds_buys_the_first_answers() -> None:
    victim, splits = scene()
    attack = ModelExtraction(strategy="margin", queries=40, rounds=4, query_curve=[10, 40])
    found = assess(victim, attack, splits)
    assert torch.equal(found.curve["40"], found.stolen_answers)
    seen = ModelExtraction(strategy="margin", queries=40, rounds=4)
    first = _order_of(victim, splits, seen).take(torch.arange(10))
    recipe = attack.recipe(splits.plain_recipe, 200).changed(objective="kl")
    model = recipe.fit(first, splits.attack_stream("model_extraction"))
    assert torch.equal(predict(model, splits.test_records).argmax(dim=1), found.curve["10"])


def _order_of(victim: Victim, splits: DataSplits, attack: ModelExtraction) -> Records:
    recipe = attack.recipe(splits.plain_recipe, 200).changed(objective=attack.objective)
    stream = splits.attack_stream("model_extraction")
    oracle = Oracle(victim.logits, attack.needs)
    return attack.gather(oracle, splits.adversary_records, stream, Means(lambda part: recipe.fit(part, stream), GROUPS))


@pytest.mark.parametrize(
    ("inputs", "strategy"), [("shuffled", "random"), ("records", "jacobian"), ("records", "margin")]
)
def test_the_independent_model_has_true_labels_of_as_many_records(inputs: str, strategy: Any) -> None:
    victim, splits = scene()
    found = assess(victim, ModelExtraction(inputs=inputs, strategy=strategy, queries=50), splits)
    assert found.manifest["independent"]["records"] == 50
    alone = splits.attack_stream("independent", 0)
    order = torch.randperm(200, generator=(alone / "records").generator())[:50]
    recipe = ModelExtraction().recipe(splits.plain_recipe, 200)
    model = recipe.fit(splits.adversary_records.take(order), alone)
    assert torch.equal(predict(model, splits.test_records).argmax(dim=1), found.independent_answers)
    assert measure(found).baselines["fidelity_kappa"] > 0.3


def test_made_up_inputs_can_be_more_than_the_records() -> None:
    victim, splits = scene()
    attack = ModelExtraction(inputs="shuffled", queries=500, query_curve=[450])
    check(attack, (), splits.data)
    check_splits(attack, splits)
    assert assess(victim, attack, splits).manifest["queries"] == 500
    with pytest.raises(SettingError, match="must be at most 200, the adversary's records; got 300"):
        check_splits(ModelExtraction(queries=300), splits)
    with pytest.raises(SettingError, match="`queries` must be given with strategy margin"):
        ModelExtraction(strategy="margin")


def test_by_hand_the_model_between_queries_is_another_one() -> None:
    with Stream(5).seed_global():
        target, model = LinearNet((8,), 2, hidden=[16]), LinearNet((8,), 2, hidden=[16])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    extraction = ModelExtraction(target, model, optimizer, None, coded(100), "cpu", 3, strategy="entropy", queries=30)
    first = [p.detach().clone() for p in model.parameters()]
    stolen = extraction.attack()
    assert stolen is model
    assert extraction.report["queries"] == 30
    assert any(not torch.equal(a, b) for a, b in zip(first, model.parameters(), strict=True))
    assert extraction.report["epochs"] == 3


def test_made_up_records_have_ids_of_their_own() -> None:
    made = made_up(torch.rand(4, 8), coded(3))
    assert made.ids.tolist() == [-1, -2, -3, -4]
    assert made.attributes == ("group",)
    assert made.z.shape == (4, 1)
