"""How evasion is assessed: each victim is attacked on the test split, with its own gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.evasion.attacks import EvasionAttack, EvasionPGD
from amulet.evasion.metrics import EvasionEvidence, measure
from amulet.models.inspect import batch_size_for, device_of, evaluating, frozen, predict
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "default_attack", "measure"]

_PROBE = 128, 512  # records for the tests of gradient masking: of large images, of small records


def default_attack(defenses: Sequence[Defense]) -> EvasionAttack:
    """PGD with the budget of the defence under assessment, if it has one."""
    return EvasionPGD()


def check(attack: EvasionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any model can be attacked. With `data`: does the attack work on it, do the immutable columns exist?"""
    if data is not None:
        attack.changeable(data)
        attack.check(data)


def budget(attack: EvasionAttack, defenses: Sequence[Defense]) -> float:
    """`attack.epsilon` where it is set, else the budget of a defence against evasion, else the attack's default."""
    asked = [float(d.epsilon) for d in defenses if d.risk == "evasion" and hasattr(d, "epsilon")]  # type: ignore[attr-defined]
    return asked[0] if asked and attack.epsilon is None else attack.budget


def assess(victim: Victim, attack: EvasionAttack, splits: DataSplits) -> EvasionEvidence:
    """Attack every test record and evaluate the result in float32."""
    records = splits.test_records
    epsilon = budget(attack, splits.defenses)
    attack = attack.changed(epsilon=epsilon)
    mask = attack.changeable(splits.data)
    stream = splits.attack_stream("evasion")
    model = victim.model
    clean = victim.logits(records).argmax(dim=1) == records.y
    robust, distance = torch.empty_like(clean), torch.empty(len(records))
    with splits.runtime.reporter.stage(f"evasion of {victim.name}", len(records), "record") as stage:
        for batch, x in attack.batches(model, records, stream, mask=mask, stage=stage):
            origin = records.inputs(batch).to(x.device)
            distance[batch] = attack.distance(x, origin).cpu()
            # Asked so that a NaN is outside too.
            if not (x.min() >= 0 and x.max() <= 1 and distance[batch].max() <= epsilon * (1 + 1e-5) + 1e-6):
                raise RuntimeError(
                    f"{attack!r} left its budget: inputs in [{x.min()}, {x.max()}], largest {attack.norm} change "
                    f"{distance[batch].max()}"
                )
            if mask is not None and bool(((x != origin) & (mask.to(x.device) == 0)).any()):
                raise RuntimeError(f"{attack!r} changed columns that are immutable")
            robust[batch] = predict(model, x).argmax(dim=1) == records.y[batch]
    if attack.labels is True:  # the input itself is within the budget: a wrong answer stays wrong
        robust &= clean
    return EvasionEvidence(
        ids=records.ids,
        clean_correct=clean,
        robust_correct=robust,
        distance=distance,
        manifest={
            "epsilon": epsilon,
            "norm": attack.norm,
            "records": len(records),
            "largest_change": distance.max().item(),
            **attack.manifest(device_of(model)),
        },
        warnings=_masking(victim, attack, records, mask, stream),
    )


def _masking(
    victim: Victim, attack: EvasionAttack, records: Records, mask: Tensor | None, stream: Stream
) -> tuple[str, ...]:
    """Signs that the gradients hide the way instead of there being none (Athalye et al., ICML 2018)."""
    if attack.budget == 0 or attack.labels == "predicted":
        return ()
    right = (victim.logits(records).argmax(dim=1) == records.y).nonzero().squeeze(1)
    right = right[: min(max(_PROBE[0], batch_size_for(records.shape) // 8), _PROBE[1])]
    if not len(right):
        return ()
    probe, model, found = records.take(right), victim.model, []
    none = _share_without_gradient(model, probe) if attack.follows_gradients else 0.0
    if none > 0.1:
        found.append(
            f"{victim.name}: the gradient is exactly zero for {none:.0%} of the records probed, so the attack cannot "
            f"see a way: robust_accuracy is too high. {attack.hint}"
        )

    def survivors(changed: EvasionAttack) -> float:
        attacked = changed.batches(model, probe, stream / "masking", mask=mask)
        held = [predict(model, x).argmax(dim=1) == probe.y[batch] for batch, x in attacked]
        return torch.cat(held).double().mean().item()

    unbounded, longer = attack.unbounded(), attack.longer()
    if unbounded is not None and mask is None:
        large = survivors(unbounded)
        if large > 0.05:
            found.append(
                f"{victim.name}: with the largest budget {large:.0%} of the records probed still withstand the attack, "
                f"where none should: gradients are masked. {attack.hint}"
            )
    if longer is not None:
        few, more = survivors(attack), survivors(longer)
        if few - more > 0.01:
            now, then = attack.settings(), longer.settings()
            raised = ", ".join(f"attack.{name} ({now[name]} now)" for name in now if now[name] != then[name])
            found.append(
                f"{victim.name}: twice the steps lower robust_accuracy by {100 * (few - more):.1f} points on the "
                f"records probed: the attack had not converged. Raise {raised}"
            )
    return tuple(found)


def _share_without_gradient(model: nn.Module, records: Records) -> float:
    """The share of records at which the gradient of the loss is exactly zero."""
    device, size, none = device_of(model), batch_size_for(records.shape), 0
    with evaluating(model), frozen(model):
        for start in range(0, len(records), size):
            batch = slice(start, start + size)
            x = records.inputs(batch).to(device).clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(model(x), records.y[batch].to(device), reduction="sum")
            if not loss.requires_grad:  # the model has no gradient at all
                none += len(x)
                continue
            (gradient,) = torch.autograd.grad(loss, x)
            none += int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
    return none / len(records)
