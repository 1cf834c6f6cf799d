"""Strategies of active extraction: which inputs to ask about next, by what the thief's own model has learned so far."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for, device_of, evaluating, features, frozen, predict


def margin(model: nn.Module, pool: Records, asked: Records, count: int) -> Tensor:
    """Places (count,) of the inputs whose two likeliest classes are nearest in probability."""
    best = predict(model, pool).softmax(dim=1).topk(2, dim=1).values
    return (best[:, 0] - best[:, 1]).topk(count, largest=False).indices


def entropy(model: nn.Module, pool: Records, asked: Records, count: int) -> Tensor:
    """Places (count,) of the inputs on whose class the model knows least: the entropy of its probabilities."""
    p = predict(model, pool).softmax(dim=1)
    return torch.special.entr(p).sum(dim=1).topk(count).indices


def k_center(model: nn.Module, pool: Records, asked: Records, count: int) -> Tensor:
    """Places (count,) of inputs far apart, and far from those that were asked: in the model's features.

    Greedy k-center (Sener and Savarese, ICLR 2018; for extraction ActiveThief, Pal et al., AAAI 2020): each is the one
    farthest from all that were chosen before it.
    """
    there, known = features(model, pool), features(model, asked)
    apart = torch.cdist(there, known).amin(dim=1)
    chosen = torch.empty(count, dtype=torch.int64)
    for i in range(count):
        chosen[i] = apart.argmax()
        apart = torch.minimum(apart, (there - there[chosen[i]]).norm(dim=1))
        apart[chosen[i]] = -1  # an input with a double at distance 0 is not taken twice
    return chosen


CHOICES: dict[str, Callable[[nn.Module, Records, Records, int], Tensor]] = {
    function.__name__: function for function in (margin, entropy, k_center)
}
"""Strategies that choose among given inputs: from the thief's model, the inputs not asked yet, those asked, and how
many to choose."""


def jacobian(model: nn.Module, asked: Records, step: float) -> Tensor:
    """Inputs (n, *shape), one from each that was asked: a step along the sign of the gradient of the logit answered.

    Jacobian-based augmentation (Papernot et al., AsiaCCS 2017, Section 4): x + step * sign(d f_answer(x) / dx), in
    [0, 1]. The gradient is that of the thief's own model.
    """
    if asked.targets is None:
        raise ValueError("`asked` must hold the victim's answers as targets, got None")
    answers, device, size = asked.targets.argmax(dim=1), device_of(model), batch_size_for(asked.shape)
    parts: list[Tensor] = []
    with evaluating(model), frozen(model):
        for start in range(0, len(asked), size):
            batch = slice(start, start + size)
            x = asked.inputs(batch).to(device).requires_grad_()
            logits = model(x).gather(1, answers[batch].to(device).unsqueeze(1))
            (slope,) = torch.autograd.grad(logits.sum(), x)
            parts.append((x.detach() + step * slope.sign()).clamp_(0, 1).to(asked.x.device))
    return torch.cat(parts)
