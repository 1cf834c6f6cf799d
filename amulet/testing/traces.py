"""What a component may not leave behind: on a model, on records, in the global random generators."""

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.training.victim import DataSplits

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def watched(
    problems: list[str], given: AmuletDataset | DataSplits, model: nn.Module | None = None, seed: int = 0
) -> Iterator[None]:
    """Add to `problems` what the block leaves behind. The global generators begin it at `seed`."""
    generators = _seed_globally(seed)
    before, parts = {} if model is None else _state(model), _content(given)
    try:
        yield
    finally:
        if _globals() != _at(seed):
            problems.append("draws from a global random generator: results depend on what was drawn before")
        _restore(generators)
    if _content(given) != parts:
        problems.append("changes the records that it was given")
    after = {} if model is None else _state(model)
    problems += [problem for key, problem in _WRONG.items() for problem in _different(before, after, key, problem)]


_WRONG = {
    "weight": "changes the victim's weights",
    "buffer": "changes the victim's buffers, such as BatchNorm's statistics",
    "gradient": "leaves a gradient on the victim",
    "requires_grad": "changes which of the victim's weights need gradients",
    "training": "leaves the victim in another mode, train or eval",
    "hooks": "leaves a hook on the victim",
}


def _state(model: nn.Module) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for name, parameter in model.named_parameters():
        found["weight", name] = _digest(parameter)
        found["gradient", name] = None if parameter.grad is None else _digest(parameter.grad)
        found["requires_grad", name] = parameter.requires_grad
    for name, buffer in model.named_buffers():
        found["buffer", name] = _digest(buffer)
    for name, module in model.named_modules():
        found["training", name or "the whole"] = module.training
        found["hooks", name or "the whole"] = sum(len(getattr(module, kind)) for kind in _HOOKS)
    return found


def _different(before: Mapping[Any, Any], after: Mapping[Any, Any], key: str, problem: str) -> Iterator[str]:
    names = [name for kind, name in before.keys() | after.keys() if kind == key]
    changed = sorted(name for name in names if before.get((key, name)) != after.get((key, name)))
    if changed:
        yield f"{problem}: {', '.join(f'`{name}`' for name in changed[:3])}{', ...' if changed[3:] else ''}"


def _content(given: AmuletDataset | DataSplits) -> list[str]:
    data = given if isinstance(given, AmuletDataset) else given.data
    parts = [data.train, data.test]
    if isinstance(given, DataSplits):
        parts += [given.victim_records, given.adversary_records]
    return [_of_records(part) for part in parts]


def _of_records(records: Records) -> str:
    """Of the tensors themselves: the digest of a table is kept from when it was made."""
    return "".join(map(_digest, (records.x, records.y, records.z, records.ids)))


def _digest(tensor: Tensor) -> str:
    content = tensor.detach().cpu().contiguous()
    return hashlib.sha256(content.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def _globals() -> tuple[Any, ...]:
    state: Any = np.random.get_state()  # noqa: NPY002 - whether a component has used it is what is asked
    return torch.get_rng_state().numpy().tobytes(), state[1].tobytes(), state[2], random.getstate()


def _seed_globally(seed: int) -> tuple[Any, ...]:
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    return before


def _restore(before: tuple[Any, ...]) -> None:
    torch.set_rng_state(before[0])
    np.random.set_state(before[1])  # noqa: NPY002
    random.setstate(before[2])


def _at(seed: int) -> tuple[Any, ...]:
    """What the global generators are when nobody has drawn since `seed`."""
    now = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    _seed_globally(seed)
    found = _globals()
    _restore(now)
    return found
