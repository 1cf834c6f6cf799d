"""Extraction in rounds: ask, train a model on the answers, choose by it what to ask next."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.unauth_model_ownership.attacks.pool import made_up
from amulet.unauth_model_ownership.attacks.strategies import CHOICES, jacobian

Ask = Callable[[Records], Records]
"""From inputs to the same with the victim's answers."""
Learn = Callable[[Records], nn.Module]
"""From inputs with answers to a model."""


def choosing(strategy: str, ask: Ask, learn: Learn, pool: Records, budget: int, rounds: int) -> Records:
    """Ask about the first inputs of the pool, then in equal rounds about those that the strategy chooses from it."""
    ends = [budget * (i + 1) // rounds for i in range(rounds)]
    sizes = [size for size in (ends[0], *(b - a for a, b in pairwise(ends))) if size]
    bought, left = None, pool
    for size in sizes:
        chosen = torch.arange(size) if bought is None else CHOICES[strategy](learn(bought), left, bought, size)
        answered = ask(left.take(chosen))
        bought = answered if bought is None else bought.concat(answered)
        rest = torch.ones(len(left), dtype=torch.bool)
        rest[chosen] = False
        left = left.take(rest)
    return pool.take(torch.arange(0)) if bought is None else bought


def growing(ask: Ask, learn: Learn, pool: Records, budget: int, rounds: int, step: float, stream: Stream) -> Records:
    """Ask about a few inputs of the pool, then each round about one step from all that were asked: twice as many.

    Where the budget allows fewer steps than inputs, a random part of them is taken, as in Papernot et al.
    """
    seeds = min(len(pool), max(1, budget // 2 ** (rounds - 1)))
    first = pool.take(torch.arange(seeds))
    bought, number = ask(first.replace(x=first.inputs())), 0
    while len(bought) < budget:
        count = budget - len(bought) if number + 2 >= rounds else min(len(bought), budget - len(bought))
        some = torch.randperm(len(bought), generator=(stream / number).generator())[:count]
        made = made_up(jacobian(learn(bought), bought.take(some), step), first)
        made = made.replace(ids=made.ids + min(0, int(bought.ids.min())))
        bought, number = bought.concat(ask(made)), number + 1
    return bought
