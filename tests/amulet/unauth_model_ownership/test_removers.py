"""What is done to copies: each remover against an independent implementation, and over a whole verification."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from amulet.core import Factory, IncompatibleError, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, stratified_split
from amulet.models import predict
from amulet.training import DataSplits, Recipe, Victim
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet.unauth_model_ownership.defenses import DatasetInference, WatermarkNN
from amulet.unauth_model_ownership.defenses.boundary import Stride, min_gd
from amulet.unauth_model_ownership.metrics import measure
from amulet.unauth_model_ownership.protocol import assess, check
from amulet.unauth_model_ownership.removers import (
    USUAL,
    AdversarialTuning,
    Distilling,
    Filtering,
    FinePruning,
    FineTuning,
    Overwriting,
    Pruning,
    Quantising,
    Remover,
    Rounding,
    Thief,
)
from amulet.unauth_model_ownership.triggers import TriggerSet


def table(n: int, seed: int, first: int = 0) -> Records:
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=draw)
    x = (0.4 + 0.2 * y.unsqueeze(1) + 0.25 * torch.randn(n, 12, generator=draw)).clamp(0, 1)
    return Records(x, y, torch.zeros(n, 0, dtype=torch.int64), torch.arange(first, first + n))


RECIPE = Recipe(
    architecture=Factory("amulet.models.LinearNet", hidden=[24]),
    num_classes=2,
    optimizer=Factory("torch.optim.SGD", lr=0.1),
    epochs=4,
    batch_size=32,
)
OWNER = RECIPE.fit(table(200, 0), 0)


def thief(**changes: object) -> Thief:
    more: dict[str, object] = {"records": table(100, 1, 500), "recipe": RECIPE, "epochs": 2, "stream": Stream(3)}
    return Thief(**{**more, **changes})  # type: ignore[arg-type]


def removed(remover: Remover) -> nn.Module:
    before = weights(OWNER)
    made = remover.remove(copy.deepcopy(OWNER), thief())
    assert torch.equal(weights(OWNER), before)
    assert not made.training
    return made


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_fine_tuning_is_the_textbook_loop_on_half_of_the_records() -> None:
    made, mine = removed(FineTuning(rate=5.0)), copy.deepcopy(OWNER)
    half = thief().half
    assert len(half) == 50
    optimizer = torch.optim.SGD(mine.parameters(), lr=0.5)
    order = (Stream(3) / "batches").generator()
    for _ in range(2):
        for index in torch.randperm(50, generator=order).split(32):
            optimizer.zero_grad()
            F.cross_entropy(mine(half.x[index]), half.y[index]).backward()
            optimizer.step()
    assert torch.allclose(weights(made), weights(mine), atol=1e-5)


def test_pruning_is_torchs() -> None:
    theirs = copy.deepcopy(OWNER)
    layers = [(layer, "weight") for layer in theirs.modules() if isinstance(layer, nn.Linear)]
    count = int(0.9 * sum(layer.weight.numel() for layer, _ in layers))
    prune.global_unstructured(layers, prune.L1Unstructured, amount=count)
    for layer, name in layers:
        prune.remove(layer, name)
    x = table(50, 2).x
    assert torch.equal(predict(removed(Pruning(share=0.9)), x), predict(theirs, x))


def test_quantising_is_torchs() -> None:
    made = removed(Quantising(bits=4))
    for mine, theirs in zip(made.parameters(), OWNER.parameters(), strict=True):
        wanted = theirs.detach()
        if theirs.dim() > 1:
            wanted = torch.fake_quantize_per_tensor_affine(wanted, float(wanted.abs().max()) / 7, 0, -7, 7)
            assert len(mine.unique()) <= 15
        assert torch.allclose(mine, wanted, atol=1e-6)


def test_fine_pruning_prunes_and_trains_further() -> None:
    pruned, made = removed(Pruning(share=0.8)), removed(FinePruning(share=0.8))
    assert torch.equal(weights(made), weights(FineTuning().remove(copy.deepcopy(pruned), thief())))


def test_overwriting_gives_the_copy_a_mark_of_the_thiefs() -> None:
    made = Overwriting(triggers=10, repeats=20).remove(copy.deepcopy(OWNER), thief(epochs=30))
    own = TriggerSet.draw(10, thief().records, 2, Stream(3) / "own mark")
    assert own.matches(made).double().mean() > own.matches(OWNER).double().mean()
    assert own.matches(made).sum() >= 9


def test_adversarial_tuning_moves_boundaries_away() -> None:
    records, stride = table(60, 4), Stride(0.001, 1.5, 16)

    def margin(model: nn.Module) -> float:
        found = min_gd(model, records, stride, 2).values.amax(dim=2)
        return float(found[:, 2].nanmean())

    worst = AdversarialTuning(epsilon=0.05).remove(copy.deepcopy(OWNER), thief(epochs=20))
    plain = FineTuning().remove(copy.deepcopy(OWNER), thief(epochs=20))
    assert margin(worst) > 1.1 * margin(plain)
    assert all(p.grad is None or p.requires_grad for p in worst.parameters())


def test_the_worst_case_of_a_linear_model_is_the_step_against_its_weights() -> None:
    """On a linear model each input moves by epsilon against the sign of the weights of its class."""
    seen: list[Tensor] = []

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1.0, -2.0]))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                seen.append(x.detach().clone())
            score = x.flatten(1) @ self.w
            return torch.stack([-score, score], dim=1)

    x = torch.full((4, 2), 0.5)
    records = Records.of(x, torch.tensor([0, 1, 0, 1]))
    AdversarialTuning(epsilon=0.1).remove(
        Line().train(), thief(records=records.concat(records), epochs=1, recipe=RECIPE.changed(batch_size=8))
    )
    moved = seen[-1] - 0.5
    assert moved.abs().max() <= 0.1 + 1e-6
    # The step of 1.25 epsilon from a random point reaches the edge from four of five of them.
    assert (moved.abs() > 0.1 - 1e-6).double().mean() > 0.5
    assert {tuple(row) for row in moved.sign().tolist()} <= {(1.0, -1.0), (-1.0, 1.0)}


def test_distilling_trains_new_weights_on_the_copys_answers() -> None:
    made, records = removed(Distilling(objective="logit_mse")), thief().records
    taught = records.replace(targets=predict(OWNER, records))
    assert torch.equal(weights(made), weights(RECIPE.changed(objective="logit_mse").fit(taught, Stream(3))))


def test_a_filter_answers_data_and_refuses_what_is_no_record() -> None:
    made = removed(Filtering())
    strange = torch.rand(50, 12, generator=torch.Generator().manual_seed(0)).round() * 1.0
    assert (made(strange).argmax(dim=1) == thief().records.y.bincount().argmax()).all()
    x = table(300, 6).x
    assert (made(x) == OWNER(x)).all(dim=1).double().mean() > 0.9


def test_rounding_leaves_no_gradient_and_no_distance() -> None:
    made, records = removed(Rounding(levels=11)), table(40, 7)
    assert torch.allclose(predict(made, records), predict(OWNER, (records.x * 10).round() / 10))
    found = min_gd(made, records, Stride(0.01, 1.5, 10), 2).values
    other = predict(OWNER, (records.x * 10).round() / 10).argmin(dim=1)
    assert found[torch.arange(40), :, other].isnan().all()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: FineTuning(rate=0), "`rate` must satisfy 0 < rate, got 0"),
        (lambda: Pruning(share=1), "`share` must satisfy 0 < share < 1, got 1"),
        (lambda: Quantising(bits=1), "2 <= bits <= 16, got 1"),
        (lambda: ModelExtraction(removers={"stolen": FineTuning()}), "`removers` must have names of their own"),
        (lambda: ModelExtraction(removers={"two words": FineTuning()}), "`removers` must have names of their own"),
        (lambda: ModelExtraction(removers={"mine": {"rate": 2}}), "`removers.mine` must name a class in `_target_`"),
        (lambda: ModelExtraction(removers={"mine": {"_target_": "torch.nn.ReLU"}}), "must be a Remover, got ReLU"),
    ],
)
def test_what_cannot_work_says_so(build: object, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        build()  # type: ignore[operator]
    assert says in str(caught.value)


# Over a whole verification.


class Renaming(Remover):
    """A user's own: the copy as it is."""

    random = False

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        return model


def scene(*defenses: WatermarkNN | DatasetInference) -> tuple[Victim, DataSplits]:
    data = AmuletDataset(name="toy", modality="tabular", train=table(400, 0), test=table(200, 1, 10_000), num_classes=2)
    stream = Stream(0)
    mine, theirs = stratified_split(data.train.y, [200, 200], (stream / "split").generator())
    recipe = RECIPE.changed(optimizer=Factory("torch.optim.Adam", lr=1e-2), epochs=15)
    splits = DataSplits(
        data=data,
        victim_records=data.train.take(mine),
        adversary_records=data.train.take(theirs),
        stream=stream,
        runtime=recipe.runtime,
        defenses=defenses,
        plain_recipe=recipe,
    )
    recipe = recipe.changed(defenses=defenses)
    return Victim("defended", recipe, splits.victim_records, stream / "victim"), splits


def test_a_users_removers_are_measured_by_name() -> None:
    victim, splits = scene(WatermarkNN(triggers=40))
    removers = {"renamed": Renaming(), "hard": {"_target_": f"{FineTuning.__module__}.FineTuning", "rate": 9.0}}
    attack = ModelExtraction(removers=removers, suspects=2, independents=2, fine_tune_epochs=2)
    assert attack.changed().settings() == attack.settings()
    evidence = assess(victim, attack, splits)
    (verification,) = evidence.verifications
    assert verification.copies == ("exact_copy", "renamed", "hard", "stolen")
    assert [len(verification.p_values[kind]) for kind in ("renamed", "hard")] == [1, 2]
    metrics = measure(evidence).metrics
    # What the mark keeps, and what the removal costs.
    assert metrics["renamed.p_value"] == metrics["p_value"] < 1e-6
    assert metrics["renamed.watermark_accuracy"] == metrics["watermark_accuracy"] > metrics["hard.watermark_accuracy"]
    assert metrics["renamed.ownership_fnr"] == 0
    assert metrics["hard.p_value"] > metrics["p_value"]
    assert "hard.suspect_accuracy" in metrics


def test_removers_without_a_defence_that_verifies_are_refused() -> None:
    attack = ModelExtraction(removers={"mine": Renaming()})
    with pytest.raises(IncompatibleError, match="hide copies from a defence that verifies ownership"):
        check(attack, (), None)
    check(attack, (WatermarkNN(),), None)
    check(ModelExtraction(), (), None)


def test_the_usual_removers_are_named_like_copies_and_have_settings() -> None:
    attack = ModelExtraction(removers=USUAL)
    assert attack.removers is not None
    assert list(attack.removers) == list(USUAL)
    assert attack.removers["fine_tuned_x5"] == {"_target_": f"{FineTuning.__module__}.FineTuning", "rate": 5.0}


def test_every_kind_of_remover_runs_against_a_fingerprint() -> None:
    """The same list against either defence; a copy behind a grid has no gradients to be measured by."""
    victim, splits = scene(DatasetInference(records=40, steps=8))
    removers = {
        "worst": AdversarialTuning(),
        "taught": Distilling(),
        "fewer": FinePruning(),
        "grid": Rounding(levels=5),
    }
    attack = ModelExtraction(removers=removers, suspects=1, independents=2, fine_tune_epochs=1)
    (verification,) = assess(victim, attack, splits).verifications
    assert set(removers) < set(verification.copies)
    assert verification.p_values["grid"][0] > 0.01
