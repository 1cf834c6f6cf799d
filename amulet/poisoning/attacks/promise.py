"""What a poisoning attack promises before it changes a record, and what it is after: the protocol verifies the one and
measures the other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from amulet.core.errors import IncompatibleError
from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for
from amulet.poisoning.attacks.trigger import Trigger

ANY_OTHER = -1
"""Instead of the class that an attack wants: any class but the true one."""
_ROUNDING = 1 / 255


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What an attack is after, on n test records."""

    wanted: Tensor
    """(n,) the class that it wants for each record, or `ANY_OTHER`."""
    counts: Tensor
    """(n,) bool: the records on which it wants that; its success is counted over these."""
    triggers: tuple[Trigger, ...] = ()
    """What it puts on inputs, each in turn; empty: it wants it for inputs as they are."""
    targets: Records | None = None
    """The test records that it is after, where it poisons for these alone."""


@dataclass(frozen=True)
class Poisoned:
    """Training records after an attack, and which of them it changed."""

    records: Records
    ids: Tensor
    """(p,) ids of the records that were changed."""
    which: Tensor
    """(p,) the number of the trigger, or of the target, that each is for."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What an attack changes of n training records."""

    candidates: Tensor
    """(n,) bool, on the CPU: the records of which it changes some, and no others."""
    count: int
    """How many it changes."""
    relabelled: int
    """How many of these get another label; the others keep theirs."""
    label: int = ANY_OTHER
    """The label that those get, or `ANY_OTHER`."""
    reach: float = 1.0
    """The most by which a value of an input changes, [0, 1]; 0: inputs stay as they are."""

    def broken(self, before: Records, poisoned: Poisoned) -> str:
        """How the poisoned records break the promise; empty if they keep it."""
        after, ids = poisoned.records, poisoned.ids
        if len(after) != len(before) or not torch.equal(after.ids, before.ids) or not torch.equal(after.z, before.z):
            return "records were added, removed, reordered, or have other sensitive attributes"
        chosen = torch.isin(before.ids, ids.to(before.ids.device)).cpu()
        change = _largest_changes(before.x, after.x)
        labels = after.y.cpu()
        other = labels != before.y.cpu()
        if len(ids) != self.count or int(chosen.sum()) != self.count:
            return f"{int(chosen.sum())} records changed, {self.count} were promised"
        if bool((chosen & ~self.candidates).any()):
            return f"{int((chosen & ~self.candidates).sum())} records changed that it was to leave alone"
        if bool((((change > 0) | other) & ~chosen).any()):
            return "records changed that it does not name"
        if int(other.sum()) != self.relabelled or bool((labels[other] != self.label).any() and self.label >= 0):
            return f"{int(other.sum())} records have another label, {self.relabelled} were promised"
        if float(change.max()) > self.reach + (_ROUNDING if self.reach else 0):
            return f"an input changed by {float(change.max()):.3g}, at most {self.reach:g} was promised"
        return ""


def _largest_changes(before: Tensor, after: Tensor) -> Tensor:
    """(n,) the largest change of a value of each input, in [0, 1], on the CPU."""
    size = batch_size_for(before.shape[1:])
    scale = 255.0 if before.dtype == torch.uint8 else 1.0
    pairs = zip(before.split(size), after.split(size), strict=True)
    return torch.cat([(now.float() - was.float()).abs().flatten(1).amax(dim=1) / scale for was, now in pairs]).cpu()


def count_of(rate: float, candidates: Tensor, what: str) -> int:
    """How many of n records a rate asks for.

    Args:
        rate: share of all n records, (0, 1).
        candidates: (n,) bool: those that can be poisoned.
        what: what these are, for the message: `are of the target class 1`.

    Raises:
        IncompatibleError: there are too few candidates, or the number is 0.
    """
    n, possible = len(candidates), int(candidates.sum())
    count = round(rate * n)
    if not 0 < count <= possible:
        raise IncompatibleError(
            f"rate={rate:g} of {n} records asks for {count} to poison, but {possible} {what}: at least 1 and at most "
            "those can be. Choose another rate or target"
        )
    return count
