"""The base of attribute inference attacks, which learn on the adversary's records and infer the test split's."""

from abc import abstractmethod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.attribute_inference.decision import answers, balanced_thresholds
from amulet.attribute_inference.metrics import AttributeEvidence
from amulet.core.component import Attack
from amulet.core.errors import SettingError, needs_attributes, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.models.inspect import batch_size_for, predict
from amulet.training.runtime import Runtime

_FEW = 30  # with fewer records of a group, its share of correct answers is unreliable


class AttributeAttack(Attack):
    """An attack that infers an attribute from features of a record. A subclass has one method to write: `guess`.

    This class decides what the adversary learns from: the victim's outputs, and the true label and the inputs if it has
    them. Its records are split into those to which `guess` is fitted and those on which the thresholds are chosen.

    Args:
        target_model: the victim's model, for `attack()`; the runner gives the victims' answers to `infer` instead.
        adversary_records: records whose attributes the adversary knows.
        test_records: records whose attributes it infers; their true attributes are only used by the metrics.
        device: where to work; the model is moved there.
    """

    risk = "attribute_inference"
    outputs: Literal["probabilities", "logits"]
    knows_inputs: bool
    knows_label: bool = False
    attributes: list[str] | None
    held_out: float

    def __init__(
        self,
        target_model: nn.Module | None = None,
        adversary_records: Records | None = None,
        test_records: Records | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.target_model = target_model
        self.adversary_records, self.test_records = adversary_records, test_records
        self.device = device

    @abstractmethod
    def guess(
        self, known: Tensor, values: Tensor, wanted: Tensor, count: int, *, stream: Stream, runtime: Runtime, label: str
    ) -> Tensor:
        """The likelihood of each value of an attribute for some records.

        Args:
            known: features (n, d) of the adversary's records, on the CPU; they may be of any scale.
            values: (n,) the attribute of these records, in [0, count).
            wanted: features (m, d) of the records whose attribute is inferred.
            count: the number of values of the attribute.
            stream: for random numbers.
            runtime: the device and the reporter.
            label: the name of this work in messages.

        Returns:
            Logits (m, count), on the CPU.
        """

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def chosen(self, available: tuple[str, ...]) -> list[str]:
        """The attributes to infer; `IncompatibleError` if there are none, `SettingError` if one does not exist."""
        if not available:
            raise needs_attributes("attribute inference")
        for name in self.attributes or ():
            one_of("attack.attributes", name, available)
        return list(self.attributes or available)

    def seen(self, logits: Tensor) -> Tensor:
        """The victim's answers, (n, classes): probabilities or logits."""
        # In double precision: a float32 softmax is exactly 1 for a confident model, and loses information.
        return logits if self.outputs == "logits" else logits.double().softmax(dim=1).float()

    def infer(
        self,
        adversary: Records,
        adversary_logits: Tensor,
        test: Records,
        test_logits: Tensor,
        *,
        stream: Stream,
        runtime: Runtime,
        name: str = "victim",
    ) -> AttributeEvidence:
        """Infer every chosen attribute of `test`, with and without the victim's answers.

        Args:
            adversary: the adversary's records, whose attributes it knows.
            adversary_logits: the victim's answers to them, (n, classes).
            test: the records whose attributes are inferred, (m).
            test_logits: the victim's answers to them, (m, classes).
            stream: the attack's random stream; the same for both victims.
            name: the victim, for warnings.
        """
        evidence: dict[str, dict[str, Tensor]] = {"truth": {}, "log_probabilities": {}, "answers": {}}
        manifest: dict[str, Any] = {
            "adversary": len(adversary),
            "held_out": self._held(len(adversary)),
            "queries": len(adversary) + len(test),
            "outputs": self.outputs,
            "values": {},
        }
        warnings: list[str] = []
        # Directions in which the answers vary little may contain most information, and get lost in correlated features.
        axes = principal_axes(self.seen(adversary_logits))
        mine, theirs = self._views(adversary, adversary_logits, axes), self._views(test, test_logits, axes)
        for attribute in self.chosen(test.attributes):
            values, known, truth = _coded(adversary.attribute(attribute), test.attribute(attribute))
            own = stream / attribute
            sizes = [len(known) - self._held(len(known)), self._held(len(known))]
            fit, hold = stratified_split(known, sizes, (own / "held_out").generator())
            for view in mine:
                wanted = torch.cat([mine[view][hold], theirs[view]])
                if wanted.dim() == 1:
                    logits = by_frequency(mine[view][fit], known[fit], wanted, len(values))
                else:
                    logits = self.guess(
                        mine[view][fit],
                        known[fit],
                        wanted,
                        len(values),
                        stream=own / view,
                        runtime=runtime,
                        label=f"infer {attribute} from {'inputs alone' if view == 'inputs' else name}",
                    )
                scores = logits.double().log_softmax(dim=1)
                key = attribute if view == "attack" else f"{attribute}.{view}"
                evidence["log_probabilities"][key] = scores[len(hold) :]
                thresholds = balanced_thresholds(scores[: len(hold)], known[hold])
                evidence["answers"][key] = answers(scores[len(hold) :], thresholds)
            evidence["truth"][attribute] = truth
            groups = _groups(values, known, truth)
            manifest["values"][attribute] = groups
            warnings += _small(name, attribute, groups, test)
        return AttributeEvidence(
            ids=test.ids.cpu(),
            **evidence,
            reference="inputs" if self.knows_inputs else "label" if self.knows_label else "predicted_label",
            name=name,
            manifest=manifest,
            warnings=tuple(warnings),
        )

    def attack(self) -> AttributeEvidence:
        """Attack `target_model`: learn on `adversary_records`, infer the attributes of `test_records`."""
        if self.target_model is None or self.adversary_records is None or self.test_records is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a model and the records of both sides to run `attack()`"
            )
        model = self.target_model.to(self.device)
        return self.infer(
            self.adversary_records,
            predict(model, self.adversary_records),
            self.test_records,
            predict(model, self.test_records),
            stream=Stream(0) / "attack" / self.risk,
            runtime=Runtime(torch.device(self.device)),
        )

    def _held(self, n: int) -> int:
        return min(max(1, round(self.held_out * n)), n - 1)

    def _views(self, records: Records, logits: Tensor, axes: Tensor) -> dict[str, Tensor]:
        """The input of the attack and of each baseline: features (n, d), or a label (n,) to count by."""
        views = {
            "attack": self.seen(logits) @ axes,
            "prior": torch.zeros(len(records), dtype=torch.int64),
            "label": records.y.cpu(),
            "predicted_label": logits.argmax(dim=1),
        }
        known = [flat_inputs(records)] if self.knows_inputs else []
        if self.knows_label:
            known.append(F.one_hot(views["label"], logits.shape[1]).float())
        if self.knows_inputs:
            views["inputs"] = torch.cat(known, dim=1)
        views["attack"] = torch.cat([*known, views["attack"]], dim=1)
        return views


def flat_inputs(records: Records, most: int = 1024) -> Tensor:
    """Inputs (n, d) in [0, 1], float32 on the CPU; of images thumbnails, by averaging, of at most `most` values.

    An MLP gains little from more pixels, and a whole split of images in float32 would not fit into memory.

    >>> flat_inputs(Records.of(torch.rand(2, 3, 64, 64), torch.zeros(2))).shape
    torch.Size([2, 768])
    """
    shape = records.shape
    if len(shape) != 3:
        return records.inputs().flatten(1).cpu()
    channels, height, width = shape
    factor = 1
    while channels * -(-height // factor) * -(-width // factor) > most and factor < min(height, width):
        factor += 1
    small = -(-height // factor), -(-width // factor)
    size = batch_size_for(shape)
    batches = (records.inputs(slice(start, start + size)).cpu() for start in range(0, len(records), size))
    return torch.cat([F.adaptive_avg_pool2d(x, small).flatten(1) for x in batches])


def principal_axes(outputs: Tensor) -> Tensor:
    """The directions along which outputs (n, d) are uncorrelated, as the columns of a rotation (d, d)."""
    return torch.linalg.eigh(torch.atleast_2d(torch.cov(outputs.double().T))).eigenvectors.float()


def by_frequency(labels: Tensor, values: Tensor, wanted: Tensor, count: int) -> Tensor:
    """Log of how often each value occurs with a label, (m, count): all that can be learned from a label alone.

    One more record with the overall shares is counted for every label, so that no label is without records.

    Args:
        labels: (n,) the labels of records.
        values: (n,) their values in [0, count).
        wanted: (m,) labels to look up.
        count: the number of values.

    >>> by_frequency(torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1, 0, 0]), torch.tensor([1]), 2).exp()
    tensor([[0.7500, 0.2500]], dtype=torch.float64)
    """
    rows = int(torch.cat([labels, wanted]).max()) + 1
    table = (labels * count + values).bincount(minlength=rows * count).view(rows, count).double()
    table += table.sum(dim=0, keepdim=True) / len(labels)
    return (table / table.sum(dim=1, keepdim=True)).log()[wanted].clamp_min(-1e9)


def _coded(known: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The values that occur, in order, and the value of each record."""
    values, place = torch.cat([known, truth]).cpu().unique(return_inverse=True)
    return values, place[: len(known)], place[len(known) :]


def _groups(values: Tensor, known: Tensor, truth: Tensor) -> dict[str, dict[str, int]]:
    sides = {"adversary": known, "test": truth}
    counted = {side: place.bincount(minlength=len(values)).tolist() for side, place in sides.items()}
    return {str(value): {side: counted[side][i] for side in sides} for i, value in enumerate(values.tolist())}


def _small(name: str, attribute: str, groups: dict[str, dict[str, int]], records: Records) -> list[str]:
    found: list[str] = []
    for value, counts in groups.items():
        for side, count in counts.items():
            if count < _FEW:
                where = "records of the adversary" if side == "adversary" else "test records"
                found.append(
                    f"{name}: only {count} {where} have {attribute} = "
                    f"{records.value_name(attribute, int(value))}; under {_FEW} the numbers for "
                    f"{attribute} are mostly chance. Use more data (dataset.limit, adversary_fraction) or merge values"
                )
    return found
