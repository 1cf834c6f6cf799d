"""PGD and adversarial training: against independent implementations, and what published ones got wrong."""

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core import Factory, SettingError, Stream
from amulet.core.influence import of_mean
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.datasets.split import stratified_split
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionPGD, LinfBall
from amulet.evasion.attacks.ascent import GOALS, ascend, margin, search
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import LinearNet, frozen, predict
from amulet.training import DataSplits, EarlyStopping, Recipe, Runtime, Victim
from amulet.utils import get_accuracy, train_classifier

EPSILON = 0.05


class Shifted(nn.Module):
    """The same decisions with a constant on all logits."""

    def __init__(self, inner: nn.Module, offset: float) -> None:
        super().__init__()
        self.inner, self.offset = inner, offset

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.offset


@pytest.fixture(scope="module")
def census() -> AmuletDataset:
    return load_census(limit=2000)


@pytest.fixture(scope="module")
def model(census: AmuletDataset) -> nn.Module:
    with (Stream(0) / "weights").seed_global():
        made = LinearNet(census.shape, 2)
    return train_classifier(made, census.train, epochs=10)


def scene_of(data: AmuletDataset, **changes: Any) -> DataSplits:
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[64]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=5e-3),
        epochs=8,
    )
    return DataSplits(
        data=data,
        victim_records=data.train,
        adversary_records=data.train,
        stream=Stream(0),
        runtime=Runtime(),
        plain_recipe=recipe,
        **changes,
    )


def robust(model: nn.Module, records: Records, attack: EvasionPGD, mask: Tensor | None = None) -> Tensor:
    x = attack.adversarial(model, records, Stream(0) / "test", mask=mask)
    return predict(model, x).argmax(1) == records.y


def test_one_search_asks_the_model_once_for_each_step_and_twice_more() -> None:
    """Which records are wrong as they stand, and what the last step made: nothing else."""
    calls: list[int] = []

    class Certain(nn.Module):
        """No record falls."""

        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return torch.stack([1 + x.sum(dim=1), 0 * x.sum(dim=1)], dim=1)

    records = Records.of(torch.rand(8, 3), torch.zeros(8, dtype=torch.int64))
    EvasionPGD(epsilon=0.1, steps=5, search_dtype="float32").adversarial(Certain(), records, Stream(0))
    assert len(calls) == 5 + 2


def test_robust_accuracy_agrees_with_foolbox_and_torchattacks(census: AmuletDataset, model: nn.Module) -> None:
    foolbox = pytest.importorskip("foolbox", reason="needs the extra `peers`")
    torchattacks = pytest.importorskip("torchattacks", reason="`make` installs it")
    x, y = census.test.x, census.test.y
    ours = robust(model, census.test, EvasionPGD(epsilon=EPSILON, search_dtype="float32")).double().mean().item()
    torch.manual_seed(0)
    pgd = torchattacks.PGD(model, eps=EPSILON, alpha=EPSILON / 10, steps=40)
    theirs = (predict(model, pgd(x, y)).argmax(1) == y).double().mean().item()
    fmodel = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=EPSILON / 10, steps=40)
    found = attack(fmodel, x, y, epsilons=EPSILON)[1]
    foolboxs = (predict(model, found).argmax(1) == y).double().mean().item()
    assert ours == pytest.approx(theirs, abs=0.002)
    assert ours == pytest.approx(foolboxs, abs=0.002)


def test_bfloat16_search_is_as_strong(census: AmuletDataset, model: nn.Module) -> None:
    accurate = robust(model, census.test, EvasionPGD(epsilon=EPSILON, search_dtype="float32"))
    low = robust(model, census.test, EvasionPGD(epsilon=EPSILON, search_dtype="bfloat16"))
    assert low.double().mean().item() == pytest.approx(accurate.double().mean().item(), abs=0.001)


@pytest.mark.parametrize("offset", [30.0, 100.0, 300.0])
def test_a_constant_on_all_logits_changes_nothing(census: AmuletDataset, model: nn.Module, offset: float) -> None:
    shifted, few = Shifted(model, offset).eval(), census.test.take(torch.arange(500))
    accurate = robust(model, few, EvasionPGD(epsilon=EPSILON, search_dtype="float32"))
    low = robust(shifted, few, EvasionPGD(epsilon=EPSILON, search_dtype="bfloat16"))
    assert abs(int(low.sum()) - int(accurate.sum())) <= 1  # of 500


def test_low_precision_has_few_sizes_of_batches(census: AmuletDataset, model: nn.Module) -> None:
    sizes: set[int] = set()

    class Counted(nn.Module):  # each size has matrix kernels that stay in memory
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            if x.dtype == torch.bfloat16:
                sizes.add(len(x))
            return self.inner(x)

    for count in (130, 149, 157, 200):
        few = census.test.take(torch.arange(count))
        robust(Counted(model).eval(), few, EvasionPGD(epsilon=EPSILON, search_dtype="bfloat16", steps=5))
    assert sizes
    assert all(size % 128 == 0 for size in sizes)


def test_what_low_precision_misses_is_searched_for_in_float32(census: AmuletDataset, model: nn.Module) -> None:
    class Blind(nn.Module):  # its answers are the same in bfloat16, its gradient is zero there
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x if x.dtype == torch.float32 else x.detach() + 0 * x)

    blind, few = Blind(model).eval(), census.test.take(torch.arange(600))
    attack = EvasionPGD(epsilon=EPSILON, search_dtype="bfloat16")
    accurate = robust(blind, few, attack.changed(search_dtype="float32"))
    assert robust(blind, few, attack).sum().item() == pytest.approx(accurate.sum().item(), abs=1)
    assert attack.missed > 50
    assert attack.manifest(torch.device("cpu")) == {
        "search_dtype": "bfloat16",
        "found_in_float32_only": attack.missed,
    }


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [0.01, 0.3])
def test_budget_and_range_hold(census: AmuletDataset, model: nn.Module, norm: Any, epsilon: float) -> None:
    few = census.test.take(torch.arange(200))
    x = EvasionPGD(epsilon=epsilon, norm=norm, steps=10).adversarial(model, few, Stream(0))
    delta = (x - few.x).flatten(1)
    size = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert size.max() <= epsilon + 1e-6
    assert size.max() > epsilon / 2
    assert x.min() >= 0
    assert x.max() <= 1


def test_l2_agrees_with_the_closed_form_of_a_linear_model() -> None:
    """For logits (0, w.x + b) the smallest change has L2 length |w.x + b| / ||w||, and L-inf |w.x + b| / ||w||_1."""
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(6, 2)
    with torch.no_grad():
        linear.weight[0].zero_()
        linear.weight[1].copy_(torch.randn(6, generator=generator))
        linear.bias.zero_()
        linear.bias[1] = -linear.weight[1].sum() / 2
    x = 0.5 + 0.05 * torch.randn(200, 6, generator=generator)  # far from 0 and 1
    score = (x @ linear.weight[1] + linear.bias[1]).detach()
    records = Records.of(x, (score > 0).long())
    for norm, order in (("l2", 2.0), ("linf", 1.0)):
        needed = score.abs() / linear.weight[1].detach().norm(p=order)
        epsilon = needed.median().item()
        clear = (needed - epsilon).abs() > 0.02 * epsilon
        held = robust(linear, records, EvasionPGD(epsilon=epsilon, norm=norm, steps=40))  # type: ignore[arg-type]
        assert torch.equal(held[clear], (needed > epsilon)[clear]), norm


def test_the_attack_leaves_the_victim_as_it_was() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    model = Normed().train()
    before = copy.deepcopy(model.state_dict())
    records = Records.of(torch.rand(50, 5), torch.arange(50) % 2)
    EvasionPGD(epsilon=0.1, steps=5).adversarial(model, records, Stream(0))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())


def test_no_weight_gradients_are_computed(census: AmuletDataset, model: nn.Module) -> None:
    asked: list[bool] = []

    def note(module: nn.Module, *_: object) -> None:
        asked.append(any(p.requires_grad for p in module.parameters()))

    handle = model.register_forward_hook(note)
    EvasionPGD(steps=3).adversarial(model, census.test.take(torch.arange(20)), Stream(0))
    handle.remove()
    assert asked
    assert not any(asked)


def test_a_wrong_answer_stays_wrong_and_more_budget_never_helps_the_victim(
    census: AmuletDataset, model: nn.Module
) -> None:
    clean = predict(model, census.test).argmax(1) == census.test.y
    assert torch.equal(robust(model, census.test, EvasionPGD(epsilon=0.0)), clean)
    shares = [clean.double().mean().item()]
    for epsilon in (0.01, 0.05, 0.2, 1.0):
        held = robust(model, census.test, EvasionPGD(epsilon=epsilon))
        assert not (held & ~clean).any()
        shares.append(held.double().mean().item())
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0


def test_predicted_labels_have_the_floor_of_the_papers_tables(census: AmuletDataset, model: nn.Module) -> None:
    clean = predict(model, census.test).argmax(1) == census.test.y
    held = robust(model, census.test, EvasionPGD(epsilon=0.5, labels="predicted"))
    assert held.sum() >= (~clean).sum()
    assert robust(model, census.test, EvasionPGD(epsilon=0.5)).double().mean() < 0.01
    splits = scene_of(census)
    victim = Victim("undefended", splits.plain_recipe, splits.victim_records, splits.stream / "victim")
    evidence = protocol.assess(victim, EvasionPGD(epsilon=0.5, labels="predicted"), splits)
    measured = protocol.measure(evidence)
    above = measured.metrics["robust_accuracy"] + measured.baselines["robust_accuracy"] - 1
    assert -1e-9 <= above < 0.02  # shares of at most 2000 records: what is less than 1e-9 is the sum's rounding


def test_immutable_columns_do_not_change(census: AmuletDataset, model: nn.Module) -> None:
    attack = EvasionPGD(epsilon=0.1, immutable=["one_hot", "age"])
    mask = attack.changeable(census)
    assert mask is not None
    assert mask.nonzero().flatten().tolist() == [1, 2, 3, 4]
    few = census.test.take(torch.arange(100))
    for norm in ("linf", "l2"):
        x = attack.changed(norm=norm).adversarial(model, few, Stream(0), mask=mask)
        assert torch.equal(x[:, 5:], few.x[:, 5:])
        assert torch.equal(x[:, 0], few.x[:, 0])
        assert not torch.equal(x, few.x)
    with pytest.raises(SettingError, match=r"`attack.immutable` must name columns of census or be one_hot, got agee"):
        protocol.check(EvasionPGD(immutable=["agee"]), (), census)


def test_restarts_only_help_and_margin_is_the_difference_of_logits(census: AmuletDataset, model: nn.Module) -> None:
    once = robust(model, census.test, EvasionPGD(epsilon=0.03, steps=5))
    thrice = robust(model, census.test, EvasionPGD(epsilon=0.03, steps=5, restarts=3))
    assert not (thrice & ~once).any()
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]])
    assert margin(logits, torch.tensor([1, 0])).tolist() == [-1.0, 5.0]
    by_margin = robust(model, census.test, EvasionPGD(epsilon=0.03, loss="margin"))
    assert by_margin.double().mean() <= once.double().mean() + 0.01


def test_search_keeps_the_best_iterate_where_plain_ascent_oscillates() -> None:
    class Peak(nn.Module):  # wrong only in a narrow band that a long step jumps over and back
        def forward(self, x: Tensor) -> Tensor:
            score = 0.02 - (x[:, :1] - 0.53).abs()
            return torch.cat([torch.zeros_like(score), score], dim=1)

    x, y = torch.full((1, 1), 0.5), torch.zeros(1, dtype=torch.int64)
    ball, goal = LinfBall(x, 0.2), GOALS["cross_entropy"]
    model = Peak()
    with frozen(model):
        best = search(model, ball, y, goal, start=x.clone(), steps=6, step_size=0.04)
        last = ascend(model, ball, y, goal, start=torch.tensor([[0.3]]), steps=6, step_size=0.11)
    assert model(best).argmax(1).item() == 1
    assert (last - x).abs().item() <= 0.2 + 1e-6


def test_evidence_and_metrics(census: AmuletDataset) -> None:
    splits = scene_of(census, defenses=(AdversarialTrainingPGD(epsilon=0.02),))
    victim = Victim("undefended", splits.plain_recipe, splits.victim_records, splits.stream / "victim")
    evidence = protocol.assess(victim, EvasionPGD(), splits)
    assert evidence.manifest["epsilon"] == 0.02, "the budget of the defence is the budget for both victims"
    assert protocol.assess(victim, EvasionPGD(epsilon=0.1), splits).manifest["epsilon"] == 0.1
    assert protocol.budget(EvasionPGD(), ()) == 0.03
    assert EvasionPGD().loss == "margin", "as docs/risks/evasion.md says"
    assert not (evidence.robust_correct & ~evidence.clean_correct).any()
    assert evidence.distance.max() <= 0.02 + 1e-6
    measured = protocol.measure(evidence)
    assert measured.metrics["robust_accuracy"] == pytest.approx(evidence.robust_correct.double().mean().item())
    assert measured.metrics["robust_accuracy"] <= measured.baselines["robust_accuracy"]
    low, high = measured.intervals["robust_accuracy"]
    assert low < measured.metrics["robust_accuracy"] < high
    assert measured.facts["robust_accuracy"].at == "eps 0.02"
    assert measured.invalid == {}
    influence = measured.influences["robust_accuracy"]
    assert influence.digest == of_mean(splits.test_records.ids, evidence.robust_correct).blocks().digest
    right = measured.metrics["robust_accuracy"]
    assert influence.error == pytest.approx((right * (1 - right) / influence.records) ** 0.5, rel=0.4)
    kept = protocol.measure(protocol.assess(victim, EvasionPGD(epsilon=0.5, norm="l2", immutable=["age"]), splits))
    assert kept.facts["robust_accuracy"].at == "eps 0.5 (l2), age kept"
    assert set(evidence.arrays()) == {"ids", "clean_correct", "robust_correct", "distance"}


def test_an_attack_out_of_its_budget_is_an_error(census: AmuletDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = scene_of(census)
    victim = Victim("undefended", splits.plain_recipe, splits.victim_records, splits.stream / "victim")

    def cheat(*args: Any, **_: Any) -> Tensor:
        return (args[2] + 0.2).clamp(0, 1)

    monkeypatch.setattr(EvasionPGD, "perturb", cheat)
    with pytest.raises(RuntimeError, match="left its budget"):
        protocol.assess(victim, EvasionPGD(epsilon=0.1), splits)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batches": "mixed"},
        {"batches": "alternating"},
        {"loss": "trades"},
        {"norm": "l2", "epsilon": 0.2},
        {"random_start": False},
    ],
)
def test_adversarial_training_makes_robust(census: AmuletDataset, changes: dict[str, Any]) -> None:
    defense = AdversarialTrainingPGD(**changes)
    plain = scene_of(census).plain_recipe.changed(epochs=10)
    defended = plain.changed(defenses=(defense,)).fit(census.train, 0)
    undefended = plain.fit(census.train, 0)
    attack = EvasionPGD(epsilon=defense.epsilon, norm=defense.norm)
    held, lost = (robust(m, census.test, attack).double().mean() for m in (defended, undefended))
    assert held > lost + 0.05
    assert (predict(defended, census.test).argmax(1) == census.test.y).double().mean() > 0.78


def test_adversarial_training_equals_madrys_loop(census: AmuletDataset) -> None:
    """The same batches, starts and steps, written out with plain autograd."""
    records, stream = census.train.take(torch.arange(256)), Stream(0) / "victim"
    defense = AdversarialTrainingPGD(epsilon=0.1, steps=3, search_dtype="float32")
    recipe = scene_of(census).plain_recipe.changed(
        epochs=2, batch_size=64, optimizer=Factory("torch.optim.SGD", lr=0.1), defenses=(defense,)
    )
    ours = recipe.fit(records, stream)
    model = recipe.build(records.shape, stream)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    order = (stream / "batches").generator()
    noise = (stream / "adversarialtrainingpgd").generator()
    for _ in range(2):
        for index in torch.randperm(256, generator=order).split(64):
            x, y = records.x[index], records.y[index]
            adversarial = (x + (2 * torch.rand(x.shape, generator=noise) - 1) * 0.1).clamp(0, 1)
            for _ in range(3):
                adversarial.requires_grad_()
                loss = nn.functional.cross_entropy(model(adversarial), y, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, adversarial)
                adversarial = (adversarial + 0.025 * gradient.sign()).detach()
                adversarial = torch.min(torch.max(adversarial, x - 0.1), x + 0.1).clamp(0, 1)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(adversarial), y).backward()
            optimizer.step()
    for mine, theirs in zip(ours.parameters(), model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{}, {"batches": "mixed"}, {"batches": "alternating"}, {"loss": "trades", "beta": 1.0}]
)
def test_early_stopping_judges_by_the_worst_cases(census: AmuletDataset, changes: dict[str, Any]) -> None:
    """Compared with an independent search on the records held out; a clean loss would be far below."""
    records, stream = census.train.take(torch.arange(400)), Stream(0) / "victim"
    defense = AdversarialTrainingPGD(epsilon=0.2, steps=20, rel_step_size=0.1, search_dtype="float32", **changes)
    stopping = EarlyStopping(fraction=0.25, patience=3)
    recipe = scene_of(census).plain_recipe.changed(
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        optimizer=Factory("torch.optim.Adam", lr=0.02),
        batch_size=32,
        epochs=1,
        early_stopping=stopping,
    )
    trained = recipe.changed(defenses=(defense,)).produce(records, stream)
    held, kept = stratified_split(records.y, [100, 300], (stream / "validation").generator())
    held_out, model = records.take(held), trained.model
    ball, goal = LinfBall(held_out.x, 0.2), GOALS["cross_entropy"]
    with frozen(model):
        x = ascend(model, ball, held_out.y, goal, start=held_out.x.clone(), steps=40, step_size=0.01)
    clean, worst = (F.cross_entropy(predict(model, one), held_out.y).item() for one in (held_out.x, x))
    assert worst > 1.1 * clean
    expected = worst if not changes else (clean + worst) / 2
    if defense.loss == "cross_entropy":
        assert trained.report["best_validation_loss"] == pytest.approx(expected, rel=0.01)
    else:
        assert trained.report["best_validation_loss"] > clean + 1e-3, "and the divergence"
    seen = recipe.changed(early_stopping=None, defenses=(defense,)).fit(records.take(kept), stream)
    assert torch.equal(predict(seen, held_out), predict(model, held_out)), "judging does not change the training"


def test_by_hand_as_in_figure_1(census: AmuletDataset, model: nn.Module) -> None:
    test_loader: DataLoader[Any] = DataLoader(census.test, batch_size=256)
    adversarial = EvasionPGD(model, test_loader, torch.device("cpu"), batch_size=256, epsilon=EPSILON).attack()
    accuracy = get_accuracy(model, adversarial)
    assert accuracy < get_accuracy(model, test_loader) - 0.1
    fresh = LinearNet(census.shape, 2)
    optimizer = torch.optim.Adam(fresh.parameters(), lr=1e-3)
    train_loader: DataLoader[Any] = DataLoader(census.train, batch_size=256, shuffle=True)
    defense = AdversarialTrainingPGD(
        fresh, nn.CrossEntropyLoss(), optimizer, train_loader, torch.device("cpu"), 8, epsilon=EPSILON
    )
    assert defense.train_robust() is fresh
    assert get_accuracy(fresh, EvasionPGD(fresh, test_loader, epsilon=EPSILON).attack()) > accuracy
    with pytest.raises(SettingError, match="must be built with a model"):
        AdversarialTrainingPGD().train_robust()
    with pytest.raises(SettingError, match="must be built with a model"):
        EvasionPGD().attack()
    with pytest.raises(SettingError, match=r"must be torch\.nn\.CrossEntropyLoss, got MSELoss"):
        AdversarialTrainingPGD(fresh, nn.MSELoss())


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (EvasionPGD, {"epsilon": -1}, "`epsilon` must satisfy 0 <= epsilon <= 1, got -1"),
        (EvasionPGD, {"epsilon": math.nan}, "`epsilon`"),
        (EvasionPGD, {"epsilon": 8}, "`epsilon` must satisfy 0 <= epsilon <= 1, got 8"),
        (EvasionPGD, {"steps": 0}, "`steps`"),
        (EvasionPGD, {"norm": "l1"}, "`norm` must be one of linf, l2; got l1"),
        (EvasionPGD, {"labels": "false"}, "`labels`"),
        (AdversarialTrainingPGD, {"epsilon": 0}, "`epsilon` must satisfy 0 < epsilon <= 1, got 0"),
        (AdversarialTrainingPGD, {"loss": "hinge"}, "`loss`"),
        (AdversarialTrainingPGD, {"beta": -1}, "`beta`"),
    ],
)
def test_settings_out_of_range_are_refused(kind: type, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        kind(**settings)
