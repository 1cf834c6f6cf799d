"""Tests on made-up inputs, before the first step: does any record's influence pass by the clipping of its gradient?"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amulet.core.component import Factory
from amulet.core.errors import SettingError
from amulet.datasets.records import Records
from amulet.membership_inference.defenses.clipping import PerRecord, gradients_at
from amulet.models.inspect import evaluating
from amulet.training.augmentation import Augmenter

ROWS = 8
"""Records of a made-up batch."""
_DRAWS = 16  # of an augmentation, which may act on some batches only


def check_model(model: nn.Module, x: Tensor, generator: torch.Generator) -> None:
    """Refuse a model under which a record does more than its own gradient does.

    All in training mode, and with the same random numbers (dropout), so that only the records differ:

    - the records' gradients must add up to autograd's, so that none is missed;
    - what a record gets, logits and gradient norm, must stay when the *other* records of the batch change;
    - what a model keeps, buffers or anything that a later batch sees, must not depend on the records;
    - without dropout, a record must get the same alone and in a batch, in training and in evaluation mode;
    - a GroupNorm must have two values to normalise, at least.

    It is a test of `x`, not a proof for every input.

    Args:
        model: in training mode; left as it is.
        x: (n, *shape), made up, at least four of them.
        generator: for made-up records and losses; on the inputs' device.

    Raises:
        SettingError: with what is wrong.
    """
    name = type(model).__name__
    _check_groups(model, x)
    _check_sums(model, x, generator)
    mine = torch.arange(len(x), device=x.device) % 2 == 0
    other = torch.where(mine.view(-1, *[1] * (x.dim() - 1)), x, _unlike(x, generator))
    seed = 1 + int(torch.randint(2**31, (), generator=generator, device=x.device))
    with_x, with_other, with_fewer = (_Passed.of(model, batch, x, seed) for batch in (x, other, x[:-1]))
    if not _same(with_x.logits[mine], with_other.logits[mine]) or not _same(with_x.norms[mine], with_other.norms[mine]):
        raise SettingError(_mixes(name))
    for passed in (with_other, with_fewer):
        changed = [key for key, value in with_x.buffers.items() if not torch.equal(value, passed.buffers[key])]
        if changed or not _same(with_x.later, passed.later):
            raise SettingError(
                f"`model`: {name} keeps something of the records of a batch ({', '.join(changed) or 'not in a buffer'})"
                ", which is neither clipped nor noised; take layers that keep no statistics, such as GroupNorm"
            )
    with torch.no_grad(), _same_numbers(x, seed):
        copied = _copied(model)
        for training in (True, False):
            copied.train(training)
            for module in copied.modules():
                if isinstance(module, nn.modules.dropout._DropoutNd):  # pyright: ignore[reportPrivateUsage]
                    module.eval()
            together, again = copied(x).float(), copied(x).float()
            alone = torch.cat([copied(row).float() for row in x.split(1)])
            # A model that draws random numbers itself cannot be compared at another batch size in training mode.
            if _same(together, again) and not _same(together, alone, 1e-2):
                raise SettingError(_mixes(name))


def _mixes(name: str) -> str:
    return (
        f"`model`: what {name} answers for a record depends on the other records of the batch, so that no record's "
        "influence can be bounded; take layers that treat each record alone, such as GroupNorm or LayerNorm"
    )


def check_augmentation(steps: tuple[Factory, ...], records: Records, generator: torch.Generator) -> list[str]:
    """Refuse augmentations under which a training image contains something of another record.

    With the same random numbers, a record must come out the same when other records of its batch, or of the batch
    before, change. Each augmentation is drawn 16 times, on 8 made-up images.

    Returns:
        Why differential privacy cannot be claimed: the names of those that draw from a generator that is not known,
        so that they cannot be tested.

    Raises:
        SettingError: it mixes records.
    """
    if records.targets is not None:  # such records are not augmented
        return []
    unknown: list[str] = []
    for factory in steps:
        name = factory.path.rpartition(".")[2]
        x = _images(records, generator, 0.25, 0.75)
        y = _images(records, generator, 0, 1, only_ends=True)
        mine = torch.arange(len(x), device=x.device) % 2 == 0
        at_hand = mine.view(-1, 1, 1, 1)
        step = _repeatable(factory, records)
        first = [step(seed, x, x) for seed in range(_DRAWS)]
        if any(not _equal(a, b) for a, b in zip(first, (step(seed, x, x) for seed in range(_DRAWS)), strict=True)):
            unknown.append(f"augmentation {name} draws from a generator that cannot be repeated, so it is not tested")
            continue
        for kept in (at_hand, ~at_hand):
            changed = torch.where(kept, x, y)
            for seed, (now, later) in enumerate(first):
                now_changed, later_changed = step(seed, changed, x)
                rows = kept.flatten()
                if not torch.equal(now[rows], now_changed[rows]) or not torch.equal(later, later_changed):
                    raise SettingError(
                        f"`augmentation`: what {name} makes of a record depends on other records, so that no record's "
                        "influence can be bounded; leave it out, or take one that changes each image by itself"
                    )
    return unknown


def _equal(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


def _repeatable(factory: Factory, records: Records) -> Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A function of a seed and two batches to both, augmented by a new augmentation, one after the other."""

    def step(seed: int, x: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        with _same_numbers(x, seed):
            augment = Augmenter([factory], torch.Generator().manual_seed(seed))
            few = records.batch(torch.zeros(len(x), dtype=torch.int64, device=records.x.device))
            return augment(few.replaced(x=x.clone())).x, augment(few.replaced(x=later.clone())).x

    return step


def _images(records: Records, generator: torch.Generator, low: float, high: float, only_ends: bool = False) -> Tensor:
    """Made-up images of the records' kind; a batch's extremes, mean and spread tell the two kinds apart."""
    device = records.x.device
    drawn = torch.rand(ROWS, *records.shape, generator=generator, device=generator.device).to(device)
    drawn = low + (high - low) * (drawn.round() if only_ends else drawn)
    return drawn if records.x.is_floating_point() else (drawn * 255).to(records.x.dtype)


class _Passed(NamedTuple):
    """What a batch does to a copy of a model, and what it leaves there."""

    logits: Tensor
    norms: Tensor
    buffers: dict[str, Tensor]
    later: Tensor
    """Logits of another batch afterwards, in training and in evaluation mode."""

    @classmethod
    def of(cls, model: nn.Module, batch: Tensor, probe: Tensor, seed: int) -> "_Passed":
        model = _copied(model)
        per_record = PerRecord(model)
        with torch.enable_grad(), per_record.recording() as runs, _same_numbers(batch, seed):
            logits = model(batch).float()
            losses = (logits + logits.square()).flatten(1).sum(dim=1)  # gradients that differ from record to record
        norms = per_record.clipped(losses, runs, None).norms
        with torch.no_grad(), _same_numbers(batch, seed):
            buffers = {name: value.clone() for name, value in model.named_buffers()}
            later = [model(probe).float()]
            with evaluating(model):
                later.append(model(probe).float())
        return cls(logits.detach(), norms, buffers, torch.cat(later))


def _check_sums(model: nn.Module, x: Tensor, generator: torch.Generator) -> None:
    name, copied = type(model).__name__, _copied(model)
    per_record = PerRecord(copied)
    with torch.enable_grad(), per_record.recording() as runs:
        logits = copied(x).float()
        losses = (logits * torch.randn(logits.shape, generator=generator, device=x.device)).sum(dim=1)
    whole = gradients_at(losses.sum(), per_record.weights, retain_graph=True)
    found = per_record.clipped(losses, runs, None).gradients
    for weight, total, summed in zip(per_record.weights, whole, found, strict=True):
        wanted = torch.zeros_like(weight) if total is None else total
        if not torch.allclose(summed, wanted, rtol=1e-2, atol=1e-3 * (1 + wanted.abs().max().item())):
            raise SettingError(
                f"`model`: the records' gradients of {name} do not add up to the batch's, so that some would be "
                "neither clipped nor noised; build it from layers that torch.nn has, each used by calling it"
            )


def _check_groups(model: nn.Module, x: Tensor) -> None:
    """One value, normalised, is 0: the layer would be constant."""

    def check(module: nn.GroupNorm, inputs: tuple[Any, ...]) -> None:
        if inputs[0][0].numel() // module.num_groups < 2:
            raise SettingError(
                f"`model`: a {type(module).__name__} of {type(model).__name__} normalises single values (its input is "
                f"{tuple(inputs[0].shape[1:])} per record, in {module.num_groups} groups), so that it is constant; "
                "give it fewer groups or more features, or leave it out"
            )

    copied = _copied(model)
    for module in copied.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_pre_hook(check)
    with torch.no_grad():
        copied(x)


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever a model of somebody's holds
        raise SettingError(
            f"`model`: {type(model).__name__} cannot be copied ({error}), so it cannot be tested whether records "
            "influence each other in it; keep no tensors in it that were computed with gradients"
        ) from error


def _unlike(x: Tensor, generator: torch.Generator) -> Tensor:
    """Records with other extremes, mean and spread."""
    return torch.rand(x.shape, generator=generator, device=x.device).round()


def _same(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    """Equal but for rounding, which is larger between batches of unequal size."""
    return torch.allclose(a, b, rtol=tolerance, atol=0.1 * tolerance * (1 + b.abs().max().item()), equal_nan=True)


@contextmanager
def _same_numbers(x: Tensor, seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
