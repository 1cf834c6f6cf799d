"""Model extraction: by hand as in the paper's Figure 1, and by the protocol."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.assessment import Plan
from amulet.assessment import assess as assess_plan
from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census, stratified_split
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import LinearNet, predict
from amulet.training import DataSplits, Recipe, Runtime, Victim
from amulet.unauth_model_ownership.attacks import ExtractionAttack, ModelExtraction, Oracle
from amulet.unauth_model_ownership.metrics import OwnershipEvidence, evaluate_extraction, measure
from amulet.unauth_model_ownership.protocol import assess, check, default_attack

DEVICE = torch.device("cpu")


def table(n: int = 600, seed: int = 0, first: int = 0) -> Records:
    """Three noisy classes in six columns; ids from `first`."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=draw)
    centre = torch.eye(3).repeat(1, 2)[y]
    x = (0.3 + 0.4 * centre + 0.25 * torch.randn(n, 6, generator=draw)).clamp(0, 1)
    return Records(x, y, torch.zeros(n, 0, dtype=torch.int64), torch.arange(first, first + n))


def made_splits(seed: int = 0, **changes: object) -> DataSplits:
    data = AmuletDataset(name="toy", modality="tabular", train=table(600, 0), test=table(400, 1, 10_000), num_classes=3)
    stream = Stream(seed)
    mine, theirs = stratified_split(data.train.y, [300, 300], (stream / "split").generator())
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        num_classes=3,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=8,
        batch_size=32,
    )
    made = DataSplits(
        data=data,
        victim_records=data.train.take(mine),
        adversary_records=data.train.take(theirs),
        stream=stream,
        runtime=recipe.runtime,
        plain_recipe=recipe,
    )
    return made.changed(**changes)


def victim_of(at: DataSplits, *defenses: AdversarialTrainingPGD) -> Victim:
    recipe = at.plain_recipe.changed(defenses=defenses)
    return Victim("defended" if defenses else "undefended", recipe, at.victim_records, at.stream / "victim")


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().double().flatten() for value in model.state_dict().values()])


class Counting(nn.Module):
    """A model with batch norm and dropout that counts the records it is asked, in training mode or not."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        return self.body(x)


# By hand.


def by_hand(target: nn.Module, model: nn.Module, criterion: nn.Module | None = None, **more: Any) -> ModelExtraction:
    loader = DataLoader(table(), batch_size=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return ModelExtraction(target, model, optimizer, criterion, loader, DEVICE, 10, **more)


def trained_target() -> nn.Module:
    at = made_splits()
    return victim_of(at).model


def fresh(seed: int = 5) -> LinearNet:
    with (Stream(seed) / "weights").seed_global():
        return LinearNet((6,), 3, hidden=[16])


@pytest.mark.parametrize(
    ("criterion", "objective"),
    [
        (nn.MSELoss(), "logit_mse"),
        (nn.KLDivLoss(reduction="batchmean"), "kl"),
        (nn.CrossEntropyLoss(), "hard_labels"),
        (None, "kl"),
    ],
)
def test_figure_1_steals_a_model(criterion: nn.Module | None, objective: str) -> None:
    target, model = trained_target(), fresh()
    extraction = by_hand(target, model, criterion)
    assert extraction.objective == objective
    stolen = extraction.attack()
    assert stolen is model
    assert not stolen.training
    found = evaluate_extraction(target, stolen, DataLoader(table(400, 1), batch_size=64), DEVICE)
    assert found["fidelity"] > 0.93
    assert found["fidelity_kappa"] > 0.85
    assert found["target_test_accuracy"] >= found["agreement_and_correct"]


def test_the_victim_is_asked_once_per_record_and_left_as_it_is() -> None:
    target = Counting().train()
    before = weights(target)
    extraction = by_hand(target, fresh())
    extraction.attack()
    assert target.asked == len(table()) == extraction.report["queries"]
    assert torch.equal(weights(target), before)
    assert target.training
    assert all(p.requires_grad and p.grad is None for p in target.parameters())


def test_a_budget_by_hand_is_kept() -> None:
    target = Counting()
    by_hand(target, fresh(), queries=100).attack()
    assert target.asked == 100


def test_logit_mse_is_torchs_mean_squared_error() -> None:
    """The textbook loop with `nn.MSELoss` on the same batches gives the same model."""
    target, ours, theirs = trained_target(), fresh(), fresh()
    records = table()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    ModelExtraction(target, ours, optimizer, nn.MSELoss(), records, DEVICE, 2, batch_size=50).attack()
    answers, optimizer = predict(target, records), torch.optim.SGD(theirs.parameters(), lr=0.1)
    order = (Stream(0) / "attack" / "model_extraction" / "batches").generator()
    for _ in range(2):
        for index in torch.randperm(len(records), generator=order).split(50):
            optimizer.zero_grad()
            nn.MSELoss()(theirs(records.x[index]), answers[index]).backward()
            optimizer.step()
    assert torch.allclose(weights(ours), weights(theirs), atol=1e-5)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: ModelExtraction().changed(objective="mse"),
            "`objective` must be one of kl, logit_mse, hard_labels; got mse",
        ),
        (lambda: ModelExtraction(queries=0), "`queries` must satisfy 1 <= queries, got 0"),
        (lambda: ModelExtraction(epochs=0), "`epochs` must satisfy 1 <= epochs, got 0"),
        (lambda: ModelExtraction(queries=5, query_curve=[3, 8]), "1 <= query_curve <= 5, got 8"),
        (lambda: ModelExtraction(suspects=0), "`suspects` must satisfy 1 <= suspects, got 0"),
        (lambda: ModelExtraction(independents=0), "`independents` must satisfy 1 <= independents, got 0"),
        (lambda: by_hand(fresh(), fresh(), nn.L1Loss()), "`criterion` must be one of KLDivLoss, MSELoss, CrossEntropy"),
        (lambda: by_hand(fresh(), fresh(), epochs=3), "`epochs` must be given once, got 10 and 3"),
        (lambda: ModelExtraction().attack(), "must be built with a target model"),
        (lambda: by_hand(fresh(), fresh(), queries=601).attack(), "must be at most 600, the adversary's records"),
    ],
)
def test_what_cannot_work_says_so(build: Callable[[], object], says: str) -> None:
    with pytest.raises(SettingError) as caught:
        build()
    assert says in str(caught.value)


def test_settings_survive_a_copy() -> None:
    extraction = by_hand(fresh(), fresh(), nn.KLDivLoss(), queries=7)
    assert extraction.changed().settings() == extraction.settings()
    assert (extraction.epochs, extraction.objective, extraction.queries) == (10, "kl", 7)


# By the protocol.


def test_the_protocol_steals_with_the_adversarys_records_and_asks_once() -> None:
    at = made_splits()
    victim = victim_of(at)
    asked: list[Records] = []

    class Watching(ModelExtraction):
        def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
            bought = super().query(oracle, records, stream)
            asked.append(bought)
            assert oracle.queries == len(bought)
            return bought

    found = assess(victim, Watching(), at)
    assert len(asked) == 1
    assert torch.equal(asked[0].ids, at.adversary_records.ids)
    assert not torch.isin(asked[0].ids, at.victim_records.ids).any()
    assert asked[0].targets is not None
    # The loss is KL divergence, so the answers hold probabilities and not the logits.
    assert torch.equal(asked[0].targets, victim.logits(at.adversary_records).log_softmax(dim=1))
    assert found.manifest["queries"] == 300
    assert found.manifest["stolen"]["epochs"] == 8
    assert torch.equal(found.ids, at.test_records.ids)
    metrics, baselines = measure(found).metrics, measure(found).baselines
    assert metrics["fidelity_kappa"] > 0.9
    assert metrics["fidelity_kappa"] > baselines["fidelity_kappa"]


def test_queries_with_the_victims_own_records_are_refused() -> None:
    at = made_splits()
    victim = victim_of(at)
    mixed = at.changed(adversary_records=at.adversary_records.concat(at.victim_records.take(torch.arange(3))))
    with pytest.raises(RuntimeError, match="among the victim's or the test split's"):
        assess(victim, ModelExtraction(), mixed)

    class Cheating(ExtractionAttack):
        def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
            return at.victim_records.replace(targets=oracle.ask(at.victim_records))

    with pytest.raises(RuntimeError, match="queries the victim with its own records"):
        assess(victim, Cheating(), at)


def test_a_users_attack_is_one_method() -> None:
    """Queries with made-up inputs: an adversary without any records."""

    class Noise(ExtractionAttack):
        def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
            x = torch.rand(500, *records.shape, generator=stream.generator())
            made = Records(x, torch.zeros(500).long(), torch.zeros(500, 0).long(), -1 - torch.arange(500))
            return made.replace(targets=oracle.ask(made))

    at = made_splits()
    found = assess(victim_of(at), Noise(), at)
    assert found.manifest["queries"] == 500
    assert measure(found).metrics["fidelity"] > 0.8
    # Made-up inputs have no true labels: the independent model learns those of the adversary's records.
    plain = at.plain_recipe.changed(min_updates=10).fit(at.adversary_records, at.attack_stream("independent", 0))
    assert torch.equal(predict(plain, at.test_records).argmax(dim=1), found.independent_answers)


def test_budgets_are_nested_and_drawn_by_stream() -> None:
    at = made_splits()
    victim, stream = victim_of(at), Stream(0) / "attack"

    def bought(queries: int, stream: Stream = stream) -> list[int]:
        oracle = Oracle(victim.logits)
        found = ModelExtraction(queries=queries).query(oracle, at.adversary_records, stream)
        assert oracle.queries == queries == len(found)
        return found.ids.tolist()

    few, more = bought(20), bought(50)
    assert few == more[:20] == bought(20)
    assert few != bought(20, Stream(1) / "attack")
    assert len(set(more)) == 50


def test_the_curve_costs_no_queries_and_changes_nothing_else() -> None:
    at = made_splits()
    victim = victim_of(at)
    plain = assess(victim, ModelExtraction(queries=200), at)
    curved = assess(victim, ModelExtraction(queries=200, query_curve=[10, 100, 200]), at)
    assert curved.manifest["queries"] == 200
    assert torch.equal(plain.stolen_answers, curved.stolen_answers)
    assert set(curved.curve) == {"10", "100", "200"}
    measured = measure(curved)
    metrics = measured.metrics
    assert metrics["queries_10.fidelity_kappa"] < metrics["queries_200.fidelity_kappa"]
    assert not measured.facts["queries_10.fidelity_kappa"].decides
    assert measured.baselines["queries_200.fidelity_kappa"] < metrics["queries_200.fidelity_kappa"]
    assert curved.manifest["query_curve"]["10"]["fidelity"] == metrics["queries_10.fidelity"]
    with pytest.raises(SettingError, match="must be at most 300, what is queried; got 400"):
        assess(victim, ModelExtraction(query_curve=[400]), at)


def test_few_queries_train_the_thief_as_long_as_many() -> None:
    """Epochs over fewer records would be fewer updates, and a small budget would look like a safe model."""
    at = made_splits()
    victim = victim_of(at)
    found = assess(victim, ModelExtraction(queries=20, query_curve=[10]), at)
    for who in ("stolen", "independent"):
        assert (found.manifest[who]["epochs"], found.manifest[who]["updates"]) == (8, 8 * 10)
    starved = assess(victim, ModelExtraction(queries=20, query_curve=[10], epochs=8), at)
    assert starved.manifest["stolen"]["updates"] == 8  # as it was asked for
    for name in ("fidelity_kappa", "queries_10.fidelity_kappa"):
        assert measure(found).metrics[name] > measure(starved).metrics[name] + 0.1


def test_a_thief_with_few_records_is_trained_as_long_as_the_victim() -> None:
    at = made_splits()
    few = at.changed(adversary_records=at.adversary_records.take(torch.arange(30)))
    found = assess(victim_of(few), ModelExtraction(), few)
    assert found.manifest["stolen"]["updates"] == found.manifest["independent"]["updates"] == 8 * 10


def test_a_thief_with_many_records_sees_each_as_often_as_the_victim_does() -> None:
    at = made_splits()
    few = at.changed(victim_records=at.victim_records.take(torch.arange(30)))
    assert assess(victim_of(few), ModelExtraction(), few).manifest["stolen"]["updates"] == 8 * 10


@pytest.mark.parametrize("objective", ["kl", "logit_mse", "hard_labels"])
def test_every_budget_of_a_curve_is_warned_of_like_a_run(objective: Any) -> None:
    at = made_splits()
    victim = victim_of(at)
    small = measure(assess(victim, ModelExtraction(objective=objective, queries=1), at)).warnings
    curve = measure(assess(victim, ModelExtraction(objective=objective, query_curve=[1]), at)).warnings
    assert any("stolen model gives class" in w for w in small)
    assert any(w.startswith("undefended, 1 queries: the stolen model gives class") for w in curve)


def test_the_stolen_model_does_not_use_the_victims_defence() -> None:
    """It is what plain training on the defended victim's answers gives, with the attack's own epochs."""
    at = made_splits()
    defended = victim_of(at, AdversarialTrainingPGD(epsilon=0.1))
    found = assess(defended, ModelExtraction(epochs=3, batch_size=16), at.changed(defenses=defended.recipe.defenses))
    taught = at.adversary_records.replace(targets=defended.logits(at.adversary_records).log_softmax(dim=1))
    plain = at.plain_recipe.changed(objective="kl", epochs=3, batch_size=16)
    model = plain.fit(taught, at.attack_stream("model_extraction"))
    assert torch.equal(predict(model, at.test_records).argmax(dim=1), found.stolen_answers)
    assert found.manifest["stolen"]["epochs"] == 3
    assert found.verifications == ()


def test_the_independent_model_learns_the_same_records_from_their_labels() -> None:
    at = made_splits()
    victim = victim_of(at)
    found = assess(victim, ModelExtraction(queries=60), at)
    records = ModelExtraction(queries=60).query(
        Oracle(victim.logits), at.adversary_records, at.attack_stream("model_extraction")
    )
    recipe = at.plain_recipe.changed(min_updates=10)  # 300 records in batches of 32
    model = recipe.fit(records.replace(targets=None), at.attack_stream("independent", 0))
    assert torch.equal(predict(model, at.test_records).argmax(dim=1), found.independent_answers)
    assert found.manifest["independent"]["records"] == 60
    assert found.manifest["independent"]["updates"] == found.manifest["stolen"]["updates"] == 8 * 10


def test_one_independent_model_serves_every_victim(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has learned from no victim, so it is trained once, however many are stolen from and by whatever answers."""
    at = made_splits()
    made: list[str] = []
    train = Recipe.make

    def counted(self: Recipe, records: Records, stream: Stream, key: str, label: str) -> Any:
        if label == "independent model":
            made.append(key)
        return train(self, records, stream, key, label)

    monkeypatch.setattr(Recipe, "make", counted)
    for victim in (victim_of(at), victim_of(at, AdversarialTrainingPGD(epsilon=0.1))):
        for objective in ("kl", "hard_labels"):
            assess(
                victim, ModelExtraction(queries=60, objective=objective), at.changed(defenses=victim.recipe.defenses)
            )
    assert len(made) == 4
    assert len(set(made)) == 1


def test_hard_labels_leak_less_than_logits() -> None:
    """Answers without confidence: only the most likely class is learned, whatever the logits' scale."""
    at = made_splits()
    victim = victim_of(at)
    answers = victim.logits(at.adversary_records)
    recipe = at.plain_recipe.changed(objective="hard_labels")
    scaled = [recipe.fit(at.adversary_records.replace(targets=k * answers), at.stream) for k in (1, 7)]
    assert torch.equal(weights(scaled[0]), weights(scaled[1]))
    assert measure(assess(victim, ModelExtraction(objective="hard_labels"), at)).metrics["fidelity"] > 0.85


def test_another_architecture_by_its_path() -> None:
    at = made_splits()
    found = assess(victim_of(at), ModelExtraction(architecture="amulet.models.LinearNet"), at)
    assert measure(found).metrics["fidelity"] > 0.9
    with pytest.raises(SettingError, match="cannot be imported"):
        check(ModelExtraction(architecture="amulet.models.NoSuchNet"), (), None)


def test_budgets_beyond_the_data_are_refused_before_training() -> None:
    check(ModelExtraction(queries=300), (), made_splits().data)
    for attack in (ModelExtraction(queries=600), ModelExtraction(query_curve=[5, 900])):
        with pytest.raises(SettingError, match="must be less than the 600 training records"):
            check(attack, (), made_splits().data)


def test_the_same_seed_gives_the_same_evidence_and_another_one_does_not() -> None:
    def answers(seed: int) -> OwnershipEvidence:
        at = made_splits(seed)
        return assess(victim_of(at), default_attack(()), at)

    one, again, other = answers(0), answers(0), answers(1)
    assert torch.equal(one.stolen_answers, again.stolen_answers)
    assert measure(one).metrics == measure(again).metrics
    assert not torch.equal(one.victim_answers, other.victim_answers)


def test_the_main_job_on_a_part_of_census() -> None:
    outcome = assess_plan(
        Plan(
            data=load_census(limit=3000),
            architecture=Factory("amulet.models.LinearNet"),
            optimizer=Factory("torch.optim.Adam", lr=1e-3),
            epochs=5,
            batch_size=64,
            defenses=(AdversarialTrainingPGD(epsilon=0.05, steps=2),),
            attack=ModelExtraction(),
            metrics=("unauth_model_ownership",),
            runtime=Runtime(),
        )
    )
    for victim in ("undefended", "defended"):
        metrics = outcome.metrics[victim]
        assert metrics["fidelity"] > 0.93
        assert metrics["agreement_and_correct"] == pytest.approx(metrics["fidelity"] * metrics["correct_fidelity"])
        assert outcome.manifest["unauth_model_ownership"][victim]["queries"] == 1500
        assert outcome.baselines[victim]["fidelity"] < metrics["fidelity"]
