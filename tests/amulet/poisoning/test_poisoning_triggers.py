"""The formulas of the triggers, against pixels computed one by one and scipy's interpolation."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from amulet.core import IncompatibleError, SettingError, Stream
from amulet.datasets import Records
from amulet.poisoning.attacks import SIG, AdaptiveBlend, Adversary, Backdoor, Blended, CleanLabel, WaNet
from amulet.poisoning.attacks.adaptive_blend import pieces_of
from amulet.poisoning.attacks.backdoor import covers
from amulet.poisoning.attacks.marks import Blend, Warp, field, free, identity


def images(n: int = 60, channels: int = 1, *, scaled: bool = False) -> Records:
    generator = torch.Generator().manual_seed(n)
    x = torch.randint(0, 256, (n, channels, 10, 13), generator=generator, dtype=torch.uint8)
    return Records.of(x if scaled else x / 255, torch.arange(n) % 3)


def table(n: int = 60) -> Records:
    x = torch.rand(n, 6, generator=torch.Generator().manual_seed(n))
    x[:, 4:] = (x[:, 4:] > 0.5).float()
    return Records.of(x, torch.arange(n) % 3)


def adversary(records: Records, seed: int = 0, **more: Any) -> Adversary:
    return Adversary(records=records, stream=Stream(seed), num_classes=3, **more)


def poisoned(attack: Backdoor, records: Records, seed: int = 0) -> tuple[Records, Tensor, Tensor]:
    """The records after the attack, and which were relabelled and which only changed, (n,) bool each."""
    one = adversary(records, seed)
    found = attack.poison(records, attack.aim(one, records), one)
    assert attack.promise(records.y).broken(records, found) == ""
    chosen = torch.isin(records.ids, found.ids)
    other = found.records.y != records.y
    return found.records, other, chosen & ~other


@pytest.mark.parametrize("scaled", [False, True])
def test_a_blend_is_a_weighted_mean(scaled: bool) -> None:
    records = images(channels=3, scaled=scaled)
    (trigger,) = Blended(alpha=0.3).triggers_for(records)
    marked = trigger.on(records.x)
    for place in ((0, 0, 0, 0), (7, 1, 9, 12), (59, 2, 4, 4)):
        pixel, key = float(records.x[place]) / (255 if scaled else 1), float(trigger.pattern[place[1:]])
        expected = 0.7 * pixel + 0.3 * key
        got = float(marked[place]) / (255 if scaled else 1)
        assert got == pytest.approx(expected, abs=0.5 / 255 + 1e-6 if scaled else 1e-6)
    assert marked.dtype == records.x.dtype


def test_codes_of_a_table_can_stay() -> None:
    records = table()
    assert free(records).tolist() == [1, 1, 1, 1, 0, 0]
    for codes in (True, False):
        (trigger,) = Blended(codes=codes).triggers_for(records)
        same = (trigger.on(records.x) == records.x).all(dim=0)
        assert same.tolist() == [False] * 4 + [not codes] * 2
    with pytest.raises(IncompatibleError, match="every column has two values"):
        free(records.replace(x=(records.x > 0.5).float()))


@pytest.mark.parametrize("scaled", [False, True])
def test_the_wave_is_equation_1(scaled: bool) -> None:
    records = images(5, channels=3, scaled=scaled)
    (trigger,) = SIG(delta=0.2, frequency=4).triggers_for(records)
    marked = trigger.on(records.x).float() / (255 if scaled else 1)
    before = records.inputs()
    for row in (0, 9):
        for j in range(1, 14):
            wave = 0.2 * math.sin(2 * math.pi * j * 4 / 13)
            expected = (before[:, :, row, j - 1] + wave).clamp(0, 1)
            assert torch.allclose(marked[:, :, row, j - 1], expected, atol=0.51 / 255 if scaled else 1e-6)
    with pytest.raises(SettingError, match="below half the width, 13 pixels, got 7"):
        SIG(frequency=7).triggers_for(records)
    assert SIG().triggers_for(records)[0].name.startswith("3 waves")


def test_a_warp_is_bilinear_interpolation() -> None:
    """scipy's map_coordinates of order 1; beyond the edge torch takes 0, so the grid stays inside."""
    records = images(3, channels=2)
    (trigger,) = WaNet(strength=3.0).triggers_for(records)
    assert trigger.grid.abs().max() <= 1
    columns = (trigger.grid[..., 0].numpy() + 1) / 2 * 12
    rows = (trigger.grid[..., 1].numpy() + 1) / 2 * 9
    marked = trigger.on(records.x).numpy()
    for image, channel in ((0, 0), (2, 1)):
        expected = map_coordinates(records.x[image, channel].numpy(), [rows, columns], order=1, mode="nearest")
        np.testing.assert_allclose(marked[image, channel], expected, atol=1e-5)


def test_the_grid_that_moves_nothing_and_the_one_that_moves_one_pixel() -> None:
    x = images(2).x
    grid = identity(10, 13)
    assert torch.allclose(Warp(grid, "").on(x), x, atol=1e-5)
    beside = grid.clone()
    beside[..., 0] += 2 / 12
    assert torch.allclose(Warp(beside, "").on(x)[..., :12], x[..., 1:], atol=1e-5)


def test_the_field_passes_through_its_control_points() -> None:
    generator = torch.Generator().manual_seed(3)
    control = torch.rand((1, 2, 4, 4), generator=torch.Generator().manual_seed(3)) * 2 - 1
    control = control / control.abs().mean()
    smooth = field(10, 13, 4, generator)
    for place in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert torch.allclose(smooth[place], control[0, :, place[0], place[1]], atol=1e-5)
    inner = smooth[3, 4]  # rows 0, 3, 6, 9 and columns 0, 4, 8, 12 are the control points
    assert torch.allclose(inner, control[0, :, 1, 1], atol=1e-5)


def test_noise_mode_keeps_labels_and_stays_within_a_step_of_the_warp() -> None:
    records = images(90)
    attack = WaNet(rate=0.3, cover=2 / 3, target=1, strength=1.0)
    after, taught, covering = poisoned(attack, records)
    assert int(taught.sum()) == 9
    assert int(covering.sum()) == 18
    assert (after.y[taught] == 1).all()
    (trigger,) = attack.aim(adversary(records), records).triggers
    assert torch.equal(after.x[taught], trigger.on(records.x[taught]))
    assert not torch.equal(after.x[covering], trigger.on(records.x[covering]))


def test_a_training_image_gets_a_share_of_the_pieces() -> None:
    masks = pieces_of(50, (10, 13), 4, 0.5, torch.Generator().manual_seed(0))
    assert masks.shape == (50, 1, 10, 13)
    rows, columns = ([math.floor(i * 4 / side) for i in range(side)] for side in (10, 13))
    for mask in masks[:, 0]:
        pieces = {(rows[i], columns[j]) for i, j in mask.nonzero().tolist()}
        assert len(pieces) == 8
        for i in range(10):
            for j in range(13):
                assert bool(mask[i, j]) == ((rows[i], columns[j]) in pieces)
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 40
    assert 0.4 < masks.mean(dim=0).min() * 2 <= masks.mean(dim=0).max() * 2 < 1.6


def test_adaptive_blend_teaches_pieces_and_is_triggered_by_the_whole() -> None:
    records = images(90)
    attack = AdaptiveBlend(rate=0.2, cover=0.5, target=1)
    after, taught, covering = poisoned(attack, records)
    assert int(taught.sum()) == int(covering.sum()) == 9
    (trigger,) = attack.aim(adversary(records), records).triggers
    assert isinstance(trigger, Blend)
    expected = records.x + 0.15 * (trigger.pattern - records.x)
    for index in (taught | covering).nonzero().flatten():
        changed = after.x[index] != records.x[index]
        assert torch.allclose(after.x[index][changed], expected[index][changed], atol=1e-6)
        assert 0.3 < changed.double().mean() < 0.7
    assert torch.allclose(trigger.on(records.x), 0.8 * records.x + 0.2 * trigger.pattern, atol=1e-6)
    with pytest.raises(SettingError, match="`grid` must be at most 10"):
        AdaptiveBlend(grid=11).triggers_for(records)


@pytest.mark.parametrize(
    "attack", [Blended(), SIG(), WaNet(cover=0.5), AdaptiveBlend(cover=0.3), CleanLabel(epsilon=0.0)], ids=repr
)
def test_a_low_rate_is_a_part_of_a_higher_one(attack: Backdoor) -> None:
    records = images(90)
    _, few_taught, few_covering = poisoned(attack.changed(rate=0.1), records)
    after, taught, covering = poisoned(attack.changed(rate=0.3), records)
    assert not (few_taught & ~taught).any()
    assert not (few_covering & ~covering).any()
    assert int((few_taught | few_covering).sum()) == 9
    assert int((taught | covering).sum()) == 27
    if attack.clean_label:
        assert torch.equal(after.y, records.y)
        assert (records.y[covering] == 1).all()
    else:
        assert (records.y[taught | covering] != 1).all()


def test_covers_are_spread_evenly() -> None:
    for share in (0.0, 0.25, 1 / 3, 0.5, 2 / 3, 0.9):
        for count in (1, 2, 3, 7, 100):
            found = covers(count, share)
            assert int(found.sum()) == math.floor(count * share + 1e-9)
            assert torch.equal(found[: count // 2], covers(count // 2, share))


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        (Blended, {"alpha": 0}, "`alpha` must satisfy 0 < alpha <= 1, got 0"),
        (Blended, {"rate": 1}, "`rate`"),
        (Blended, {"target": -1}, "`target`"),
        (SIG, {"delta": 40}, "`delta` must satisfy 0 < delta <= 1, got 40"),
        (SIG, {"frequency": 0}, "`frequency`"),
        (WaNet, {"strength": 0}, "`strength`"),
        (WaNet, {"points": 1}, "`points`"),
        (WaNet, {"cover": 1}, "`cover` must satisfy 0 <= cover < 1, got 1"),
        (AdaptiveBlend, {"train_alpha": 2}, "`train_alpha`"),
        (AdaptiveBlend, {"pieces": 0}, "`pieces`"),
        (CleanLabel, {"epsilon": 8}, "`epsilon` must satisfy 0 <= epsilon <= 1, got 8"),
        (CleanLabel, {"steps": 0}, "`steps`"),
    ],
)
def test_settings_that_cannot_work(kind: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        kind(**settings)
