"""How evasion is assessed: each victim is attacked on the test split, with its own gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amulet.core.errors import SettingError
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
    """Any model that has gradients can be attacked. With `data`: do the immutable columns exist?"""
    if data is not None and isinstance(attack, EvasionPGD):
        changeable(attack, data)


def budget(attack: EvasionAttack, defenses: Sequence[Defense]) -> float:
    """`attack.epsilon` if it is set, else the budget of a defence against evasion, else the attack's default."""
    if attack.epsilon is not None:
        return attack.epsilon
    asked = [float(d.epsilon) for d in defenses if d.risk == "evasion" and hasattr(d, "epsilon")]  # type: ignore[attr-defined]
    return asked[0] if asked else EvasionPGD().budget


def assess(victim: Victim, attack: EvasionAttack, splits: DataSplits) -> EvasionEvidence:
    """Attack every test record and evaluate the result in float32."""
    records = splits.test_records
    epsilon = budget(attack, splits.defenses)
    attack = attack.changed(epsilon=epsilon)
    norm = getattr(attack, "norm", "linf")
    mask = changeable(attack, splits.data) if isinstance(attack, EvasionPGD) else None
    stream = splits.attack_stream("evasion")
    model = victim.model
    clean = victim.logits(records).argmax(dim=1) == records.y
    robust, distance = torch.empty_like(clean), torch.empty(len(records))
    with splits.runtime.reporter.stage(f"evasion of {victim.name}", len(records), "record") as stage:
        for batch, x in attack.batches(model, records, stream, mask=mask, stage=stage):
            distance[batch] = _distance(x, records.inputs(batch).to(x.device), norm).cpu()
            if x.min() < 0 or x.max() > 1 or distance[batch].max() > epsilon * (1 + 1e-5) + 1e-6:
                raise RuntimeError(
                    f"{attack!r} left its budget: inputs in [{x.min()}, {x.max()}], largest {norm} change "
                    f"{distance[batch].max()}"
                )
            robust[batch] = predict(model, x).argmax(dim=1) == records.y[batch]
    if getattr(attack, "labels", True) is True:  # the input itself is within the budget: a wrong answer stays wrong
        robust &= clean
    warnings = _masking(victim, attack, records, epsilon, mask, stream) if isinstance(attack, EvasionPGD) else ()
    manifest = {
        "epsilon": epsilon,
        "norm": norm,
        "records": len(records),
        "largest_change": distance.max().item(),
    }
    if isinstance(attack, EvasionPGD):
        manifest["search_dtype"] = str(attack.dtype(device_of(model))).removeprefix("torch.")
    return EvasionEvidence(
        ids=records.ids,
        clean_correct=clean,
        robust_correct=robust,
        distance=distance,
        manifest=manifest,
        warnings=warnings,
    )


def changeable(attack: EvasionPGD, data: AmuletDataset) -> Tensor | None:
    """1 for the columns that the attack may change, (features,), or None for all of them."""
    if not attack.immutable:
        return None
    mask = torch.ones(data.shape)
    for name in attack.immutable:
        if name == "one_hot" and data.groups:
            for start, end in data.groups:
                mask[start:end] = 0
        elif name in data.feature_names:
            mask[data.feature_names.index(name)] = 0
        elif not data.feature_names:
            raise SettingError(f"`attack.immutable` must be null for {data.name}, whose inputs are no named columns")
        else:
            raise SettingError(f"`attack.immutable` must name columns of {data.name} or be one_hot, got {name}")
    return mask


def _distance(x: Tensor, origin: Tensor, norm: str) -> Tensor:
    delta = (x - origin).flatten(1)
    return delta.abs().amax(dim=1) if norm == "linf" else delta.norm(dim=1)


def _masking(
    victim: Victim, attack: EvasionPGD, records: Records, epsilon: float, mask: Tensor | None, stream: Stream
) -> tuple[str, ...]:
    """Signs of gradient masking: adversarial examples exist but gradients miss them (Athalye et al., ICML 2018)."""
    if epsilon == 0 or attack.labels == "predicted":
        return ()
    right = (victim.logits(records).argmax(dim=1) == records.y).nonzero().squeeze(1)
    right = right[: min(max(_PROBE[0], batch_size_for(records.shape) // 8), _PROBE[1])]
    if not len(right):
        return ()
    probe, model, found = records.take(right), victim.model, []
    none = _share_without_gradient(model, probe)
    if none > 0.1:
        found.append(
            f"{victim.name}: the gradient is exactly zero for {none:.0%} of the records probed, so PGD cannot see "
            "a way: robust_accuracy is too high. Attack the margin: attack.loss=margin"
        )

    def survivors(**changes: object) -> float:
        attacked = attack.changed(**changes).batches(model, probe, stream / "masking", mask=mask)
        held = [predict(model, x).argmax(dim=1) == probe.y[batch] for batch, x in attacked]
        return torch.cat(held).double().mean().item()

    if mask is None:
        all_of_it = 1.0 if attack.norm == "linf" else 10 * max(epsilon, 1.0)
        large = survivors(epsilon=all_of_it, rel_step_size=0.1, steps=max(attack.steps, 40))
        if large > 0.05:
            found.append(
                f"{victim.name}: with the largest budget {large:.0%} of the records probed still withstand PGD, where "
                "none should: gradients are masked. Try attack.loss=margin, attack.restarts=5"
            )
    few, more = survivors(), survivors(steps=2 * attack.steps)
    if few - more > 0.01:
        found.append(
            f"{victim.name}: twice the steps lower robust_accuracy by {100 * (few - more):.1f} points on the records "
            f"probed: the attack had not converged. Raise attack.steps ({attack.steps} now)"
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
            (gradient,) = torch.autograd.grad(loss, x)
            none += int((gradient.flatten(1).abs().amax(dim=1) == 0).sum())
    return none / len(records)
