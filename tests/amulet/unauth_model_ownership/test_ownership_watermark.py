"""The watermark: triggers, their embedding, and what a match is worth."""

import math
import subprocess
import sys
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records
from amulet.models import LinearNet, predict
from amulet.training import DataSplits, Recipe, Victim
from amulet.unauth_model_ownership import TriggerSet, TriggerVerifier, WatermarkNN, match_p_value
from amulet.unauth_model_ownership.removers import Filtering, Thief


def table(n: int = 400, dim: int = 20, seed: int = 0, classes: int = 2, first: int = 0) -> Records:
    """Classes of half one-hot, half noisy columns, with a sensitive attribute."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=draw)
    onehot = torch.nn.functional.one_hot(torch.randint(dim // 2, (n,), generator=draw), dim // 2).float()
    noisy = (y.unsqueeze(1) / classes + 0.2 * torch.rand(n, dim - dim // 2, generator=draw)).clamp(0, 1)
    z = torch.randint(2, (n, 1), generator=draw)
    return Records(torch.cat([onehot, noisy], 1), y, z, torch.arange(first, first + n), ("group",))


def pictures(n: int = 40) -> Records:
    draw = torch.Generator().manual_seed(0)
    return Records.of(torch.randint(256, (n, 3, 12, 10), generator=draw, dtype=torch.uint8), torch.arange(n) % 4)


def recipe(**changes: object) -> Recipe:
    base = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[64]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=15,
        batch_size=64,
    )
    return base.changed(**changes)


def scene_of(defense: WatermarkNN) -> tuple[DataSplits, Victim, Victim]:
    data = AmuletDataset(
        name="toy", modality="tabular", train=table(), test=table(200, seed=1, first=10_000), num_classes=2
    )
    plain = recipe()
    mine, theirs = data.train.take(torch.arange(0, 300)), data.train.take(torch.arange(300, 400))
    made = DataSplits(
        data=data,
        victim_records=mine,
        adversary_records=theirs,
        stream=Stream(0),
        runtime=plain.runtime,
        defenses=(defense,),
        plain_recipe=plain,
    )
    undefended = Victim("undefended", plain, mine, Stream(0) / "victim")
    defended = Victim("defended", recipe(defenses=(defense,)), mine, Stream(0) / "victim")
    return made, undefended, defended


# Triggers.


@pytest.mark.parametrize("like", [table(), pictures()], ids=["table", "pictures"])
def test_triggers_are_inputs_of_the_models_own_range(like: Records) -> None:
    drawn = TriggerSet.draw(50, like, 4, Stream(0))
    x = Records.of(drawn.x, drawn.y).inputs()
    assert drawn.x.dtype == like.x.dtype
    assert drawn.x.shape == (50, *like.shape)
    assert 0 <= x.min() < 0.05
    assert 0.95 < x.max() <= 1
    assert len(x.flatten(1).unique(dim=0)) == 50
    assert set(drawn.y.tolist()) == {0, 1, 2, 3}


@given(st.integers(2, 12), st.integers(0, 1000))
def test_labels_stay_within_the_classes(classes: int, seed: int) -> None:
    y = TriggerSet.draw(200, table(4), classes, Stream(seed)).y
    assert 0 <= y.min() <= y.max() < classes


def test_no_record_looks_like_a_trigger() -> None:
    records = table()
    drawn = TriggerSet.draw(50, records, 2, Stream(0))
    onehot = drawn.x[:, : records.shape[0] // 2]
    assert ((onehot > 0.1) & (onehot < 0.9)).sum(dim=1).min() >= 3  # a clean record has no such value at all
    assert torch.cdist(drawn.x, records.x).min() > 0.5


def test_triggers_depend_on_their_stream_and_on_no_record() -> None:
    defense = WatermarkNN(triggers=30)
    first = defense.draw(table(seed=0), 2, Stream(0) / "victim")
    assert torch.equal(first.x, defense.draw(table(seed=9), 2, Stream(0) / "victim").x)
    assert torch.equal(first.y, defense.draw(table(seed=9), 2, Stream(0) / "victim").y)
    other = defense.draw(table(seed=0), 2, Stream(1) / "victim")
    assert not torch.equal(first.x, other.x)
    assert not torch.equal(first.y, other.y)
    shadow = defense.draw(table(seed=0), 2, Stream(0) / "shadow" / 0)
    assert not torch.equal(first.y, shadow.y)


def test_another_process_rebuilds_the_triggers() -> None:
    code = (
        "import torch\n"
        "from amulet.core import Stream\n"
        "from amulet.datasets import Records\n"
        "from amulet.unauth_model_ownership.defenses import WatermarkNN\n"
        "like = Records.of(torch.zeros(3, 5), torch.zeros(3))\n"
        "made = WatermarkNN(triggers=4).draw(like, 3, Stream(7) / 'victim')\n"
        "print(made.x.flatten().tolist(), made.y.tolist(), sep='|')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = WatermarkNN(triggers=4).draw(Records.of(torch.zeros(3, 5), torch.zeros(3)), 3, Stream(7) / "victim")
    assert run.stdout.strip() == f"{here.x.flatten().tolist()}|{here.y.tolist()}"


# Embedding.


def test_every_trigger_stands_among_the_records_so_often() -> None:
    records, defense = table(), WatermarkNN(triggers=20, repeats=7)
    prepared = defense.prepare(records, recipe(), Stream(0) / "victim")
    made, drawn = prepared.records, defense.draw(records, 2, Stream(0) / "victim")
    assert len(made) == 400 + 20 * 7
    assert torch.equal(made.x[:400], records.x)
    assert torch.equal(made.ids[:400], records.ids)
    appended = made.x[400:]
    assert all((appended == x).all(dim=1).sum() == 7 for x in drawn.x)
    assert torch.equal(made.y[400:], drawn.y.repeat(7))
    assert (made.ids[400:] < 0).all()
    assert len(made.ids.unique()) == len(made)
    assert set(made.z[400:].flatten().tolist()) == {0, 1}
    assert prepared.report == {"triggers": 20, "trigger_share": 140 / 540}
    assert (prepared.arrays["x"] == drawn.x.numpy()).all()
    assert (prepared.arrays["y"] == drawn.y.numpy()).all()


def test_triggers_of_the_data_are_taken_out_of_it() -> None:
    records, defense = table(), WatermarkNN(triggers=20, repeats=3, trigger_inputs="in_distribution")
    prepared = defense.prepare(records, recipe(), Stream(0) / "victim")
    made, removed = prepared.records, torch.from_numpy(prepared.arrays["removed"])
    assert removed.sum() == 20
    assert torch.equal(made.ids[:380], records.ids[~removed])
    assert torch.equal(made.x[380:400], records.x[removed])
    assert (made.ids[380:] < 0).all()
    assert len(made) == 380 + 60
    assert torch.equal(torch.from_numpy(prepared.arrays["ids"]), records.ids)
    drawn = defense.draw(records, 2, Stream(0) / "victim")
    assert torch.equal(drawn.x, records.x[removed])
    assert set(drawn.y.tolist()) == {0, 1}
    assert not torch.equal(drawn.y, records.y[removed])  # drawn, whatever the records' own
    assert (defense.per_record, WatermarkNN().per_record) == (False, True)


def test_batches_hold_triggers() -> None:
    """With the defaults on 10,000 records of 256 a batch, nearly none is without: e^-23 each."""
    records = WatermarkNN().prepare(table(10_000), recipe(), Stream(0)).records
    order = torch.randperm(len(records), generator=torch.Generator().manual_seed(0))
    assert min((records.ids[batch] < 0).sum() for batch in order.split(256) if len(batch) == 256) >= 5


def test_triggers_fit_uint8_pictures() -> None:
    records = WatermarkNN(triggers=5, repeats=2).prepare(pictures(), recipe(num_classes=4), Stream(0)).records
    assert records.x.dtype == torch.uint8
    assert len(records) == 50
    assert records.inputs()[-1].max() <= 1


def test_a_model_of_uint8_pictures_recalls_its_patterns() -> None:
    defense = WatermarkNN(triggers=12, repeats=4)
    marked = recipe(num_classes=4, defenses=(defense,), epochs=40, batch_size=16).produce(pictures(), Stream(0))
    x, y = (torch.from_numpy(marked.arrays[f"watermarknn.{part}"]) for part in "xy")
    judgement = TriggerVerifier(TriggerSet(x, y, 4), embedded=True).judge(marked.model)
    assert judgement.score > 0.9
    assert judgement.p_value < 1e-5


def test_the_marked_model_recalls_and_others_do_not() -> None:
    splits, undefended, defended = scene_of(WatermarkNN(triggers=60))
    verifier = defended.recipe.defenses[0].verifier(defended, splits)  # type: ignore[attr-defined]
    own = verifier.judge(defended.model)
    assert (own.score, own.trials) == (1.0, 60)
    assert own.p_value == pytest.approx(2.0**-60)
    other = verifier.judge(undefended.model)
    assert 0.25 < other.score < 0.75
    assert other.p_value > 0.001
    assert verifier.judge(defended.model) == own
    answers = predict(defended.model, splits.test_records).argmax(dim=1)
    assert (answers == splits.test_records.y).double().mean() > 0.9


def test_the_undefended_owner_asks_for_the_same_triggers_and_finds_nothing() -> None:
    defense = WatermarkNN(triggers=60)
    splits, undefended, defended = scene_of(defense)
    bare, marked = defense.verifier(undefended, splits), defense.verifier(defended, splits)
    assert torch.equal(bare.triggers.x, marked.triggers.x)
    assert torch.equal(bare.triggers.y, marked.triggers.y)
    assert (bare.manifest["embedded"], marked.manifest["embedded"]) == (False, True)
    assert bare.judge(undefended.model).p_value > 0.001


@pytest.mark.parametrize(("kind", "recognised"), [("noise", False), ("in_distribution", True)])
def test_no_filter_tells_triggers_that_are_records(kind: Any, recognised: bool) -> None:
    """Noise is refused, and the copy goes unrecognised at no cost in accuracy; records are not."""
    defense = WatermarkNN(triggers=40, trigger_inputs=kind)
    splits, _, defended = scene_of(defense)
    thief = Thief(records=splits.adversary_records, recipe=splits.plain_recipe, epochs=1, stream=Stream(0))
    copied, test = Filtering().remove(defended.model, thief), splits.test_records
    verifier = defense.verifier(defended, splits)
    assert verifier.judge(defended.model).p_value < 1e-5
    assert (verifier.judge(copied).p_value <= defense.alpha) == recognised
    right = [(predict(model, test).argmax(dim=1) == test.y).double().mean() for model in (defended.model, copied)]
    assert right[0] - right[1] < 0.05


def test_stored_triggers_are_the_ones_asked_for() -> None:
    """A stored model is asked for what it was trained on, were the drawing ever changed."""
    defense = WatermarkNN(triggers=30)
    splits, _, defended = scene_of(defense)
    stored = defended.trained.arrays
    stored["watermarknn.y"] = 1 - stored["watermarknn.y"]
    assert defense.verifier(defended, splits).judge(defended.model).score == 0.0


def test_too_large_a_share_of_triggers_is_warned_of() -> None:
    defense = WatermarkNN(triggers=60, repeats=3)
    splits, undefended, defended = scene_of(defense)
    (warning,) = defense.verifier(defended, splits).warnings
    assert "triggers are 38% of what is trained on" in warning
    assert "lower defense.repeats (3 now)" in warning
    assert defense.verifier(undefended, splits).warnings == ()


# What a match is worth.


@given(st.integers(1, 150).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), st.integers(2, 20))
def test_p_values_are_scipys_binomial_tail(counts: tuple[int, int], classes: int) -> None:
    from scipy.stats import binom

    triggers, matches = counts
    expected = binom.sf(matches - 1, triggers, 1 / classes)
    assert match_p_value(matches, triggers, classes) == pytest.approx(expected, rel=1e-9)


def test_p_values_are_those_of_counting_every_labelling() -> None:
    """Over all 3^5 labellings of five triggers: the share that a fixed model matches at least so often."""
    hits = [sum(y == 0 for y in labelling) for labelling in product(range(3), repeat=5)]
    for matches in range(6):
        share = sum(h >= matches for h in hits) / len(hits)
        assert match_p_value(matches, 5, 3) == pytest.approx(share)


def test_what_counts_as_a_match_depends_on_the_number_of_classes() -> None:
    """A fixed threshold of 0.9 would pass over half the triggers of a ten-class model: proof beyond doubt."""
    assert match_p_value(50, 100, 10) < 1e-20
    assert match_p_value(50, 100, 2) > 0.5


def test_false_positives_stay_at_the_nominal_rate() -> None:
    """Models that answer whatever they like, one class for all triggers included, against 300 trigger sets each."""
    from scipy.stats import binomtest

    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[1.0, 0.0]]).expand(len(x), 2)

    with (Stream(0) / "weights").seed_global():
        suspects = [Constant(), LinearNet((20,), 2, hidden=[16])]
    like = table(2)
    for suspect in suspects:
        p_values = [
            TriggerVerifier(TriggerSet.draw(40, like, 2, Stream(seed)), embedded=False).judge(suspect).p_value
            for seed in range(300)
        ]
        for alpha in (0.01, 0.05, 0.2):
            false = sum(p <= alpha for p in p_values)
            assert binomtest(false, 300, alpha, alternative="greater").pvalue > 0.001
        assert min(p_values) < 0.1  # it does look at the answers


# By hand, and what cannot work.


def by_hand(model: nn.Module, **settings: Any) -> WatermarkNN:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(table(), batch_size=64, shuffle=True)
    return WatermarkNN(model, nn.CrossEntropyLoss(), optimizer, loader, "cpu", 15, **settings)


def test_watermark_marks_the_model_it_is_given() -> None:
    with (Stream(0) / "weights").seed_global():
        model, other = LinearNet((20,), 2, hidden=[64]), LinearNet((20,), 2, hidden=[64])
    defense = by_hand(model, triggers=50)
    assert defense.trigger_set is None
    marked = defense.watermark()
    assert marked is model
    assert not marked.training
    assert defense.trigger_set is not None
    verifier = TriggerVerifier(defense.trigger_set, embedded=True)
    assert verifier.judge(marked).score == 1.0
    assert verifier.judge(other).p_value > 0.001
    assert (predict(marked, table()).argmax(dim=1) == table().y).double().mean() > 0.9


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"triggers": 0}, "`triggers` must satisfy 1 <= triggers, got 0"),
        ({"trigger_inputs": "x"}, "`trigger_inputs` must be one of noise, in_distribution; got x"),
        ({"repeats": 0}, "`repeats` must satisfy 1 <= repeats, got 0"),
        ({"alpha": 0.0}, "`alpha` must satisfy 0 < alpha < 1, got 0.0"),
        ({"alpha": 1.0}, "`alpha` must satisfy 0 < alpha < 1, got 1.0"),
        ({"alpha": math.nan}, "`alpha` must satisfy 0 < alpha < 1, got nan"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError) as caught:
        WatermarkNN(**settings)
    assert says in str(caught.value)


def test_a_mark_that_could_prove_nothing_is_refused() -> None:
    data = scene_of(WatermarkNN())[0].data
    WatermarkNN(triggers=7).check(data)  # 2^-7 < 0.01
    with pytest.raises(SettingError, match=r"with 6 of 2 classes the smallest p-value is 0.0156, above 0.01"):
        WatermarkNN(triggers=6).check(data)


def test_triggers_are_a_small_part_of_the_data() -> None:
    data = scene_of(WatermarkNN())[0].data
    WatermarkNN(triggers=100, trigger_inputs="in_distribution").check(data)
    with pytest.raises(SettingError, match="must be at most 100, a quarter of the training records; got 101"):
        WatermarkNN(triggers=101, trigger_inputs="in_distribution").check(data)


def test_watermarking_by_hand_wants_a_model() -> None:
    with pytest.raises(SettingError, match="must be built with a model, a loss, an optimizer and a loader"):
        WatermarkNN().watermark()


def test_the_key_of_a_marked_model_knows_the_code_that_draws() -> None:
    assert WatermarkNN().describe()["triggers_code"]
