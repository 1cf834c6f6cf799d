"""Does an attack find what there is? Other searches on a sample of the records that withstood it.

A model may hide its gradients instead of being robust (Athalye et al., ICML 2018). So the sample is also attacked by
the margin's gradient, by examples of a surrogate that the adversary trains, and by scores alone. Where these find more
than the attack did, its robust accuracy is too high by as much, and no verdict may rest on it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from amulet.core.errors import Diverged
from amulet.core.facts import SMALLEST_EFFECT
from amulet.core.intervals import clopper_pearson
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.evasion.attacks import EvasionAttack
from amulet.evasion.attacks.ascent import ascend, cross_entropy, margin, search
from amulet.evasion.attacks.balls import Ball
from amulet.evasion.attacks.expectation import spread
from amulet.evasion.attacks.square import by_scores
from amulet.models.inspect import batch_size_for, device_of, evaluating, frozen, predict
from amulet.training.victim import DataSplits, Victim

_PROBED = 128, 256  # the least and the most records of the sample; between them one in 32
_QUERIES, _STEPS, _TARGETS, _TRANSFER_STEPS = 300, 40, 2, 20
Search = Callable[[nn.Module, Ball, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Findings:
    """What the checks say of a robust accuracy."""

    warnings: tuple[str, ...] = ()
    invalid: str = ""
    """Why no verdict may rest on it; empty: one may."""
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    """The check's own numbers, JSON."""


def check_search(
    victim: Victim, attack: EvasionAttack, splits: DataSplits, mask: Tensor | None, robust: Tensor
) -> Findings:
    """Look for what the attack missed.

    Args:
        victim: who was attacked.
        attack: with the budget that it had.
        splits: of the assessment.
        mask: 1 where inputs may change; None: everywhere.
        robust: (n,) bool: which test records withstood the attack.
    """
    if attack.budget == 0 or attack.labels == "predicted":
        return Findings()
    records, answers = splits.test_records, attack.judged(victim, splits.test_records).argmax(dim=1)
    if len(answers.unique()) == 1:
        return Findings((_constant(victim, int(answers[0])),))
    sample = (answers == records.y).nonzero().squeeze(1)
    sample = sample[:: max(1, len(sample) // min(max(_PROBED[0], len(records) // 32), _PROBED[1]))]
    if not len(sample):
        return Findings()
    probe = _Probe(victim.name, attack.asked(victim.model), attack, mask, splits.attack_stream("evasion", "check"))
    if (found := probe.randomness(records.take(sample[:32]), records.take(sample))) is not None:
        return found
    taken = records.take(sample)
    large, blind = probe.largest_budget(taken), probe.without_gradient(taken)
    held = sample[robust[sample]]
    more = probe.searches(records.take(held), _surrogate(splits))
    return _judged(probe, more, large, blind, len(sample), len(held))


class _Probe:
    """The searches on one victim's sample."""

    def __init__(self, name: str, model: nn.Module, attack: EvasionAttack, mask: Tensor | None, stream: Stream) -> None:
        self.name, self.model, self.attack, self.stream = name, model, attack, stream
        self.device = device_of(model)
        self.mask = None if mask is None else mask.to(self.device)
        self.chance = 0.0
        """What the margin of a random model's mean answer may be off by."""

    def randomness(self, few: Records, sample: Records) -> Findings | None:
        """What is wrong where the model answers one input in two ways; None: it does not, or its mean is attacked."""
        first, second = (predict(self.model, few) for _ in range(2))
        if torch.allclose(first, second, rtol=1e-3, atol=1e-3 * (first.max() - first.min()).item()):
            return None
        draws = self.attack.settings().get("eot", 1)
        if draws == 1:
            reason = (
                "the model's answers change from call to call, so that the attack follows the gradients of single "
                "draws and is judged by single answers"
            )
            advice = "Set attack.eot=20" if "eot" in self.attack.settings() else "Use attack=apgd attack.eot=20"
            advice += ", which attacks the mean of so many answers (Athalye et al., ICML 2018)"
        else:
            one, other = (predict(self.model, sample).argmax(dim=1) for _ in range(2))
            changed = int((one != other).sum())
            if not _too_many(changed, len(sample)):
                x, y = sample.inputs(slice(0, 128)).to(self.device), sample.y[:128].to(self.device)
                with evaluating(self.model):
                    self.chance = spread(self.model, x, y)
                return None
            reason = f"also the mean of {draws} answers changes the class of {changed} of {len(sample)} records"
            advice = f"Raise attack.eot ({draws} now)"
        warning = f"{self.name}: {reason}: robust_accuracy is no number of the expected answer. {advice}"
        return Findings((warning,), invalid=reason)

    def fell(self, records: Records, method: str, find: Search) -> Tensor:
        """(n,) bool: the model is wrong about what this search finds within the attack's budget."""
        found, size = torch.empty(len(records), dtype=torch.bool), batch_size_for(records.shape)
        for start in range(0, len(records), size):
            batch = slice(start, start + size)
            x, y = records.inputs(batch).to(self.device), records.y[batch].to(self.device)
            with evaluating(self.model), frozen(self.model):
                ball, generator = self.attack.ball(x, self.mask), (self.stream / method / start).generator(x.device)
                at = find(self.model, ball, y, generator)
            found[batch] = self.wrong(at, records.y[batch])
        return found

    def wrong(self, x: Tensor, y: Tensor) -> Tensor:
        """(b,) bool: the model is wrong about inputs (b, *shape) of labels (b,), by more than chance."""
        logits = predict(self.model, x)
        return (logits.argmax(dim=1) != y) & (margin(logits, y) >= self.chance)

    def fell_to(self, attack: EvasionAttack, records: Records, method: str) -> Tensor:
        """(n,) bool: likewise for what an attack finds."""
        attacked = attack.batches(self.model, records, self.stream / method, mask=self.mask)
        parts = [self.wrong(x, records.y[batch]) for batch, x in attacked]
        return torch.cat([torch.zeros(0, dtype=torch.bool), *parts])

    def largest_budget(self, records: Records) -> float:
        """The share that withstands the largest budget, where none should; 0 where the attack promises nothing.

        A loss that saturates is not what is looked for: what withstands the attack must withstand the margin too.
        """
        unbounded = self.attack.unbounded()
        if unbounded is None or self.mask is not None:
            return 0.0
        held = ~self.fell_to(unbounded, records, "largest")
        if held.double().mean() > 0.05:
            wide = _Probe(self.name, self.model, unbounded, None, self.stream)
            held[held.clone()] = ~wide.fell(records.take(held.nonzero().squeeze(1)), "largest margin", _by_margin)
        return held.double().mean().item()

    def without_gradient(self, records: Records) -> float:
        """The share at which the gradient of the margin is exactly zero: no scale of the logits does that."""
        none, size = 0, batch_size_for(records.shape)
        for start in range(0, len(records) if self.attack.follows_gradients else 0, size):
            x = records.inputs(slice(start, start + size)).to(self.device).clone().requires_grad_()
            with evaluating(self.model), frozen(self.model):
                raised = margin(self.model(x).float(), records.y[start : start + size].to(self.device))
            if raised.requires_grad:
                (gradient,) = torch.autograd.grad(raised.sum(), x)
                none += int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
            else:  # the model has no gradient at all
                none += len(x)
        return none / max(len(records), 1)

    def searches(self, held: Records, surrogate: nn.Module | None) -> dict[str, Tensor]:
        """By method, which records fall to it: `longer` (the attack with twice the steps), `margin`, ..."""
        found = {"margin": self.fell(held, "margin", _by_margin)}
        longer = self.attack.longer()
        if longer is not None and found["margin"].any():  # else nothing more is to be found along gradients
            found["longer"] = self.fell_to(longer, held, "longer")
        if surrogate is not None:
            found["transfer"] = self.fell(held, "transfer", _by(surrogate))
        found["square"] = self.fell(held, "square", _by_square)
        return found


def _by_margin(model: nn.Module, ball: Ball, y: Tensor, generator: torch.Generator) -> Tensor:
    """The margin's gradient, then that of each of the likeliest other classes: not what the attack itself climbs."""
    with torch.no_grad():
        logits = model(ball.x).float()
    others = logits.scatter(1, y.unsqueeze(1), float("-inf")).argsort(dim=1, descending=True)
    found = search(model, ball, y, margin, start=ball.draw(generator), steps=_STEPS, step_size=ball.epsilon / 10)
    for rank in range(min(_TARGETS, logits.shape[1] - 1) if logits.shape[1] > 2 else 0):
        with torch.no_grad():
            held = model(found).argmax(dim=1) == y
        for target in others[held, rank].unique().tolist():
            index = (held & (others[:, rank] == target)).nonzero().squeeze(1)
            part = ball.take(index)
            start, goal, size = part.draw(generator), partial(_toward, target=target), ball.epsilon / 10
            found[index] = search(model, part, y[index], goal, start=start, steps=_STEPS, step_size=size)
    return found


def _toward(logits: Tensor, y: Tensor, *, target: int) -> Tensor:
    return logits[:, target] - logits.gather(1, y.unsqueeze(1)).squeeze(1)


def _by_square(model: nn.Module, ball: Ball, y: Tensor, generator: torch.Generator) -> Tensor:
    return by_scores(model, ball, y, generator, queries=_QUERIES)


def _by(surrogate: nn.Module) -> Search:
    """Examples that are made for another model, as far inside its wrong answer as the budget allows."""

    def find(_: nn.Module, ball: Ball, y: Tensor, generator: torch.Generator) -> Tensor:
        size = ball.epsilon / 10
        with evaluating(surrogate), frozen(surrogate):
            return ascend(
                surrogate, ball, y, cross_entropy, start=ball.x.clone(), steps=_TRANSFER_STEPS, step_size=size
            )

    return find


def _surrogate(splits: DataSplits) -> nn.Module | None:
    """A model of the adversary's own records; both victims meet the same one. None if it cannot be trained.

    Its records are so few that training it costs about a twentieth of attacking the test split.
    """
    records, recipe = splits.adversary_records, splits.plain_recipe
    few = min(len(records), 4096, max(512, 2 * len(splits.test_records) // recipe.epochs))
    try:
        return recipe.fit(records.take(torch.arange(few)), splits.attack_stream("evasion", "surrogate"), "surrogate")
    except Diverged:
        return None


def _judged(probe: _Probe, more: dict[str, Tensor], large: float, blind: float, probed: int, held: int) -> Findings:
    """The findings, the cause first."""
    name, attack, warnings, invalid = probe.name, probe.attack, list[str](), ""
    none = torch.zeros(held, dtype=torch.bool)
    margin_fell = more["margin"] | more.get("longer", none)
    free = more.get("transfer", none) | more["square"]
    numbers = {
        "records": probed,
        "robust_accuracy": held / probed,
        "robust_accuracy_checked": (held - int((margin_fell | free).sum())) / probed,
        "fell_to": {method: int(fell.sum()) for method, fell in more.items()},
    }
    found = f"of {probed} records probed, {held} withstood the attack"
    hidden = int((free & ~margin_fell).sum())
    if _too_many(hidden, probed):
        who = " and ".join(method for method in ("transfer", "square") if more.get(method, none).any())
        why = "the model hides its gradients" if attack.follows_gradients else "the attack is weak"
        invalid = f"{why}: {found}, of which {hidden} fall without any of its gradients ({who})"
        warnings.append(
            f"{name}: {invalid}: robust_accuracy is too high. Use attack=square, which needs answers alone, and more "
            "attack.queries until nothing changes"
        )
    elif large > 0.05:
        invalid = f"with the largest budget {large:.0%} of the records probed still withstand the attack"
        warnings.append(
            f"{name}: {invalid}, where none should: the model hides its gradients. Use attack=square, which needs "
            "answers alone"
        )
    elif blind > 0.1:
        invalid = f"the gradient is exactly zero for {blind:.0%} of the records probed"
        warnings.append(
            f"{name}: {invalid}, so the attack cannot see a way: robust_accuracy may be too high. Use attack=square, "
            "which needs answers alone"
        )
    if _too_many(fewer := int(more["margin"].sum()), probed):
        reason = f"{found}, of which {fewer} fall to searches along the gradients of the margin and of single classes"
        warnings.append(f"{name}: {reason}: robust_accuracy is too high. {attack.hint}")
        invalid = invalid or reason
    longer, slow = attack.longer(), int(more.get("longer", none).sum())
    if longer is not None and slow / probed > SMALLEST_EFFECT:
        now, then = attack.settings(), longer.settings()
        raised = ", ".join(f"attack.{name} ({now[name]} now)" for name in now if now[name] != then[name])
        warnings.append(
            f"{name}: twice the steps lower robust_accuracy by {100 * slow / probed:.1f} points on the records probed: "
            f"the attack had not converged. Raise {raised}"
        )
    return Findings(tuple(warnings), invalid, {"check": numbers})


def _too_many(missed: int, probed: int) -> bool:
    """Is it certain that this share of the records is more than the smallest change that counts?"""
    return clopper_pearson(missed, probed)[0] > SMALLEST_EFFECT


def _constant(victim: Victim, answer: int) -> str:
    return (
        f"{victim.name}: the model answers class {answer} for every test record: it has learned nothing that an attack "
        "could turn, and robust_accuracy says nothing about its robustness. Train it longer (`epochs`), or look at the "
        "records and `optimizer.lr`"
    )
