"""How data reconstruction is assessed: with the victim's weights, by an independent model and by the class means."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amulet.data_reconstruction.attacks import ModelInversion, ReconstructionAttack
from amulet.data_reconstruction.metrics import ReconstructionEvidence, measure
from amulet.data_reconstruction.metrics.closeness import nearest_mse
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for, predict
from amulet.training.defense import Defense
from amulet.training.victim import DataSplits, Victim

__all__ = ["assess", "check", "class_means", "default_attack", "measure"]

_NOISES = 8  # inputs of uniform noise whose distances are averaged


def default_attack(defenses: Sequence[Defense]) -> ReconstructionAttack:
    """Model inversion from zero."""
    return ModelInversion()


def check(attack: ReconstructionAttack, defenses: Sequence[Defense], data: AmuletDataset | None) -> None:
    """Any model that has gradients can be inverted. With `data`: does the attack work on it?"""
    if data is not None:
        attack.check(data)


def class_means(records: Records, num_classes: int) -> tuple[Tensor, Tensor]:
    """The mean input of each class, (classes, *shape) float64, NaN for a class without records; and their numbers.

    >>> class_means(Records.of(torch.tensor([[0.0], [0.5], [1.0]]), torch.tensor([0, 1, 1])), 2)[0]
    tensor([[0.0000],
            [0.7500]], dtype=torch.float64)
    """
    sums = torch.zeros(num_classes, *records.shape, dtype=torch.float64)
    labels = records.y.cpu()
    size = batch_size_for(records.shape)
    for start in range(0, len(records), size):
        batch = slice(start, start + size)
        sums.index_add_(0, labels[batch], records.inputs(batch).double().cpu())
    counts = labels.bincount(minlength=num_classes)
    return sums / counts.view(-1, *[1] * len(records.shape)), counts


def assess(victim: Victim, attack: ReconstructionAttack, splits: DataSplits) -> ReconstructionEvidence:
    """Reconstruct an input of each class; the truth is the mean of the records given to the victim's recipe.

    A defence that changes the records before training changes what the model learns, not what has to be protected:
    both victims are compared with the same means. The judge, an independent model, has the adversary's records, and the
    recipe without defences; the adversary does not need it.
    """
    test = splits.test_records
    means, counts = class_means(victim.records, splits.data.num_classes)
    found = attack.knowing(splits.adversary_records, splits.data.groups).reconstruct(
        victim.model,
        victim.records.shape,
        splits.data.num_classes,
        splits.attack_stream("data_reconstruction"),
        splits.runtime.reporter,
        f"reconstruct from {victim.name}",
    )
    if found.x.min() < 0 or found.x.max() > 1:
        raise RuntimeError(f"{attack!r} left the range of inputs: [{found.x.min()}, {found.x.max()}]")
    noise = splits.attack_stream("data_reconstruction", "noise").generator()
    present = counts > 0
    stream = splits.attack_stream("independent", 0)  # as in other protocols, so that it is trained once
    judge = splits.plain_recipe.produce(splits.adversary_records, stream, "independent model").model
    few = min(len(victim.records), len(splits.adversary_records))  # of equal numbers the nearest is equally near
    sides = {"victim": victim.records, "adversary": splits.adversary_records}
    order = splits.attack_stream("data_reconstruction", "nearest")
    some = {
        side: part.take(torch.randperm(len(part), generator=(order / side).generator())[:few])
        for side, part in sides.items()
    }
    inputs = {"reconstructions": found.x, "start": found.start, "means": means.nan_to_num()}
    return ReconstructionEvidence(
        name=victim.name,
        image=splits.data.modality == "image",
        reconstructions=found.x,
        means=means,
        counts=counts,
        mean=(means[present] * (counts[present] / counts.sum()).view(-1, *[1] * len(victim.records.shape))).sum(dim=0),
        start=found.start,
        random=torch.rand(_NOISES, *victim.records.shape, generator=noise),
        judged={name: _logits(judge, x) for name, x in inputs.items()},
        known=splits.adversary_records.y.cpu().bincount(minlength=splits.data.num_classes),
        first_loss=found.first_loss,
        loss=found.loss,
        moved=found.moved,
        nearest={side: nearest_mse(found.x, part) for side, part in some.items()},
        manifest={
            "steps_taken": found.steps,
            "first_loss": [round(v, 6) for v in found.first_loss.tolist()],
            "loss": [round(v, 6) for v in found.loss.tolist()],
            "moved": [round(v, 6) for v in found.moved.tolist()],
            "records_by_class": counts.tolist(),
            "judge_accuracy": (predict(judge, test).argmax(dim=1) == test.y.cpu()).double().mean().item(),
        },
    )


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    return predict(model, Records.of(x.float(), torch.zeros(len(x), dtype=torch.int64)))
