"""The base of attribute inference attacks: what the adversary has, and from the likelihood of values to evidence."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from amulet.attribute_inference.attacks.features import by_frequency, flat_inputs
from amulet.attribute_inference.decision import answers, balanced_thresholds
from amulet.attribute_inference.metrics import AttributeEvidence
from amulet.core.component import Attack
from amulet.core.errors import SettingError, needs_attributes, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.datasets.variables import Variable
from amulet.models.inspect import predict
from amulet.training.runtime import Runtime

Features = Callable[[Records], Tensor]
"""Records to features (n, d), or to a label (n,) to count by."""
ATTACK = "attack"
"""The view of an attack itself, among those of its baselines."""
_FEW = 30  # with fewer records of a group, its share of correct answers is unreliable


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an attack works with."""

    answer: Callable[[Records], Tensor]
    """Records to the victim's logits (n, classes)."""
    adversary: Records
    """The adversary's records, whose attributes it knows."""
    test: Records
    """Records whose attributes are inferred; the victim was not trained on them."""
    training: Records | None = None
    """Others, on which it was trained; None: they are unknown."""
    variables: Mapping[str, Variable] = field(default_factory=dict[str, Variable])
    """The categorical inputs, by name."""
    stream: Stream
    """The same for both victims."""
    runtime: Runtime
    victim: str = "victim"
    """Its name in messages."""
    _made: dict[str, Tensor] = field(default_factory=dict[str, Tensor], repr=False)

    @property
    def targets(self) -> list[Records]:
        """The records whose attributes are inferred: the test records, then those of the training if they are known."""
        return [self.test] if self.training is None else [self.test, self.training]

    def once(self, what: str, records: Records, make: Callable[[], Tensor]) -> Tensor:
        """What `make` returns of these records, made once."""
        key = f"{what} {records.digest}"
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def others(self, attribute: str, records: Records) -> Tensor:
        """Flat inputs (n, d) without those of the attribute, if it is a categorical input."""
        inputs = self.once("inputs", records, lambda: flat_inputs(records))
        variable = self.variables.get(attribute)
        return inputs if variable is None else variable.others(inputs)


@dataclass(frozen=True, kw_only=True)
class Inference:
    """One attribute that is to be inferred."""

    attribute: str
    values: Tensor
    """(k,) the values that occur."""
    known: Tensor
    """(n,) the place in `values` of each of the adversary's records."""
    fit: Tensor
    """Positions of those to which an attack is fitted."""
    hold: Tensor
    """Positions of those on which the thresholds are chosen."""
    asked: Asked
    stream: Stream

    @property
    def count(self) -> int:
        """The number of values."""
        return len(self.values)

    def rows(self, features: Features) -> tuple[Tensor, Tensor]:
        """Features of all of the adversary's records; those of the held-out ones and of the targets, in this order."""
        mine = features(self.asked.adversary)
        return mine, torch.cat([mine[self.hold], *map(features, self.asked.targets)])


class AttributeAttack(Attack):
    """An attack that infers attributes of records.

    This class splits the adversary's records into those to which `guess` is fitted and those on which the thresholds
    are chosen, and does the same for every baseline. A subclass says in `views` what the adversary and its baselines
    learn from, and in `guess` how.

    Args:
        target_model: the victim's model, for `attack()`; the runner gives the victims' answers to `infer` instead.
        adversary_records: records whose attributes the adversary knows.
        test_records: records whose attributes it infers; their true attributes are only used by the metrics.
        device: where to work; the model is moved there.
        variables: the categorical inputs, for an attack that infers them: `amulet.datasets.variables.categorical`.
    """

    risk = "attribute_inference"
    attributes: list[str] | None
    held_out: float
    reference: str
    """The baseline that has what the adversary has but for the model."""
    decides = "balanced_accuracy"
    """The metric that decides."""

    def __init__(
        self,
        target_model: nn.Module | None = None,
        adversary_records: Records | None = None,
        test_records: Records | None = None,
        device: str | torch.device = "cpu",
        variables: Mapping[str, Variable] | None = None,
    ) -> None:
        self.target_model = target_model
        self.adversary_records, self.test_records = adversary_records, test_records
        self.device, self.variables = device, variables

    @abstractmethod
    def views(self, one: Inference) -> dict[str, Features]:
        """By name what the attack (`ATTACK`) and its baselines know of records."""

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

    def chosen(self, attributes: tuple[str, ...], variables: Mapping[str, Variable]) -> list[str]:
        """The attributes to infer; `IncompatibleError` if there are none, `SettingError` if one does not exist.

        Args:
            attributes: the sensitive attributes of the data set.
            variables: its categorical inputs.
        """
        if not attributes:
            raise needs_attributes("attribute inference")
        for name in self.attributes or ():
            one_of("attack.attributes", name, attributes)
        return list(self.attributes or attributes)

    def codes(self, attribute: str, records: Records, variables: Mapping[str, Variable]) -> Tensor:
        """The attribute of each record, (n,) int64."""
        return records.attribute(attribute).cpu()

    def named(self, attribute: str, value: int, asked: Asked) -> str:
        """A value of an attribute in words."""
        return asked.test.value_name(attribute, value)

    def queries(self, one: Inference) -> int:
        """How many records the victim is asked about."""
        return sum(map(len, [one.asked.adversary, *one.asked.targets]))

    def estimate(self, view: str, features: Features, one: Inference) -> Tensor:
        """Logits (m, count) of the held-out records and the targets, from one view of them."""
        mine, wanted = one.rows(features)
        if wanted.dim() == 1:
            return by_frequency(mine[one.fit], one.known[one.fit], wanted, one.count)
        asked = one.asked
        return self.guess(
            mine[one.fit],
            one.known[one.fit],
            wanted,
            one.count,
            stream=one.stream / view,
            runtime=asked.runtime,
            label=f"infer {one.attribute} from {'inputs alone' if view == 'inputs' else asked.victim}",
        )

    def thresholds(self, view: str, scores: Tensor, one: Inference) -> Tensor:
        """What to subtract from the log probabilities of each value, (k,), from those of the held-out records."""
        return balanced_thresholds(scores, one.known[one.hold])

    def infer(self, asked: Asked) -> AttributeEvidence:
        """Infer every chosen attribute, with and without the victim's answers."""
        found: dict[str, dict[str, Tensor]] = {name: {} for name in _BY_ATTRIBUTE}
        manifest: dict[str, Any] = {"adversary": len(asked.adversary), "held_out": self._held(len(asked.adversary))}
        manifest |= {"queries": 0, **self.manifest(), "values": {}}
        warnings: list[str] = []
        for attribute in self.chosen(asked.test.attributes, asked.variables):
            one, truths = self._inference(attribute, asked)
            tests, held = len(asked.test), len(one.hold)
            for view, features in self.views(one).items():
                scores = self.estimate(view, features, one).double().log_softmax(dim=1)
                key = attribute if view == ATTACK else f"{attribute}.{view}"
                inferred = answers(scores[held:], self.thresholds(view, scores[:held], one))
                found["log_probabilities"][key] = scores[held : held + tests]
                found["answers"][key] = inferred[:tests]
                if asked.training is not None:
                    found["training_answers"][key] = inferred[tests:]
            for name, truth in zip(("truth", "training_truth"), truths, strict=False):
                found[name][attribute] = truth
            groups = _groups(one, truths[0])
            manifest["values"][attribute] = groups
            manifest["queries"] += self.queries(one) if not manifest["queries"] or self.asks_for_each else 0
            warnings += self._small(one, groups)
            warnings += self.doubts(one)
        return AttributeEvidence(
            ids=asked.test.ids.cpu(),
            **found,
            reference=self.reference,
            decides=self.decides,
            name=asked.victim,
            manifest=manifest,
            warnings=tuple(warnings),
        )

    asks_for_each = False
    """Whether each attribute takes queries of its own."""

    def manifest(self) -> dict[str, Any]:
        """What a reader of a result should know of how it infers; JSON."""
        return {}

    def doubts(self, one: Inference) -> list[str]:
        """Why what was inferred may not carry its claim, each with what to do about it."""
        return []

    def attack(self) -> AttributeEvidence:
        """Attack `target_model`: learn on `adversary_records`, infer the attributes of `test_records`."""
        if self.target_model is None or self.adversary_records is None or self.test_records is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a model and the records of both sides to run `attack()`"
            )
        asked = Asked(
            answer=partial(predict, self.target_model.to(self.device)),
            adversary=self.adversary_records,
            test=self.test_records,
            variables=self.variables or {},
            stream=Stream(0) / "attack" / self.risk,
            runtime=Runtime(torch.device(self.device)),
        )
        return self.infer(asked)

    def _held(self, n: int) -> int:
        return min(max(1, round(self.held_out * n)), n - 1)

    def _inference(self, attribute: str, asked: Asked) -> tuple[Inference, Sequence[Tensor]]:
        """The attribute, and the places of the targets' values."""
        tables = [asked.adversary, *asked.targets]
        codes = [self.codes(attribute, records, asked.variables) for records in tables]
        values, place = torch.cat(codes).unique(return_inverse=True)
        known, *truths = place.split([len(part) for part in codes])
        own = asked.stream / attribute
        sizes = [len(known) - self._held(len(known)), self._held(len(known))]
        fit, hold = stratified_split(known, sizes, (own / "held_out").generator())
        one = Inference(attribute=attribute, values=values, known=known, fit=fit, hold=hold, asked=asked, stream=own)
        return one, truths

    def _small(self, one: Inference, groups: dict[str, dict[str, int]]) -> list[str]:
        found: list[str] = []
        for value, counts in groups.items():
            for side, count in counts.items():
                if count < _FEW:
                    where = "records of the adversary" if side == "adversary" else "test records"
                    named = self.named(one.attribute, int(value), one.asked)
                    found.append(
                        f"{one.asked.victim}: only {count} {where} have {one.attribute} = {named}; under {_FEW} the "
                        f"numbers for {one.attribute} are mostly chance. Use more data (dataset.limit, "
                        "adversary_fraction) or merge values"
                    )
        return found


_BY_ATTRIBUTE = ("truth", "log_probabilities", "answers", "training_truth", "training_answers")


def _groups(one: Inference, truth: Tensor) -> dict[str, dict[str, int]]:
    sides = {"adversary": one.known, "test": truth}
    counted = {side: place.bincount(minlength=one.count).tolist() for side, place in sides.items()}
    return {str(value): {side: counted[side][i] for side in sides} for i, value in enumerate(one.values.tolist())}
