"""Estimators by the interface of scikit-learn, XGBoost and LightGBM: how they are fitted again, how they answer."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import nn

from amulet.core.component import code_digest
from amulet.core.errors import DataError, IncompatibleError, SettingError
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.base_recipe import Trained
from amulet.training.recipe import Recipe
from amulet.victims.answering import Answering
from amulet.victims.views import Columns, View

_NAMES = "X (does not have valid|has) feature names"
"""Said of a model that named the columns of an array itself, or that takes a frame by its order."""


def digest_of(model: Any) -> str:
    """SHA-256 of an estimator with all its parameters; a new one each time for what cannot be serialized."""
    import joblib

    try:
        text = f"{type(model).__module__}.{type(model).__qualname__} {joblib.hash(model)}"
    except Exception:  # noqa: BLE001 -- a lambda, an open file: it is never the same as any other
        text = uuid.uuid4().hex
    return hashlib.sha256(text.encode()).hexdigest()


def refitted(estimator: Any, stream: Stream) -> Any:
    """An unfitted clone, with every `random_state` that is not fixed to a generator set from the stream."""
    from sklearn.base import clone

    made: Any = clone(estimator)
    names = [name for name in made.get_params(deep=True) if name.rpartition("__")[2] == "random_state"]
    return made.set_params(**{name: (stream / name).seed % 2**31 for name in names})


@contextmanager
def about_names() -> Iterator[None]:
    """Without what scikit-learn says about names of columns: the views keep their order."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_NAMES)
        yield


class Probabilities:
    """A fitted estimator's answers, one column for each class of the data.

    Args:
        estimator: fitted; without `predict_proba` its class has probability 1.
        view: what it takes of the records.
        classes: its own names of the data's classes, in their order; None where they are the numbers 0, 1, ...
    """

    def __init__(self, estimator: Any, view: View, num_classes: int, classes: Sequence[Any] | None = None) -> None:
        self.estimator, self.view, self.num_classes = estimator, view, num_classes
        names = list(range(num_classes)) if classes is None else list(classes)
        own = list(np.asarray(estimator.classes_).tolist())
        unknown = [name for name in own if name not in names]
        if unknown or len(names) != num_classes:
            raise SettingError(
                f"`classes` must name the model's class for each of 0 to {num_classes - 1}, in this order; the model "
                f"has {', '.join(map(repr, own))}"
            )
        self.places = [names.index(name) for name in own]
        self._own = {name: i for i, name in enumerate(own)}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes), float64."""
        found = np.zeros((len(x), self.num_classes))
        with about_names():
            if hasattr(self.estimator, "predict_proba"):
                given = np.asarray(self.estimator.predict_proba(self.view(x)), dtype=np.float64)
            else:
                chosen = [self._own[name] for name in np.asarray(self.estimator.predict(self.view(x))).tolist()]
                given = np.eye(len(self.places))[chosen]
        found[:, self.places] = given
        return found


@dataclass(frozen=True, kw_only=True)
class EstimatorRecipe(Recipe):
    """An estimator fitted anew on other records. The network's settings are what a defence's own model is made by.

    Models are kept as long as the process runs, never written to a file: that would take a pickle.
    """

    differentiable: ClassVar[bool] = False

    estimator: Any
    """Fitted or not; it is cloned, and itself left as it is."""
    view: View = field(default_factory=Columns)
    classes: tuple[Any, ...] | None = None
    """The estimator's own names of the data's classes."""
    _made: dict[str, Trained] = field(default_factory=dict[str, Trained], repr=False, compare=False)

    @classmethod
    def of(cls, network: Recipe, estimator: Any, **more: Any) -> EstimatorRecipe:
        """With the defences, the runtime and the network's settings of another recipe."""
        return cls(
            **{f.name: getattr(network, f.name) for f in dataclasses.fields(Recipe)}, estimator=estimator, **more
        )

    def network(self) -> Recipe:
        """The undefended network of the same settings, for a defence to decide by."""
        return Recipe(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Recipe)}).plain()

    def check(self) -> None:
        """Refuse defences that act in the training.

        Raises:
            IncompatibleError: it has no training loop that a defence could change, or no weights to verify by.
        """
        name = type(self.estimator).__name__
        for defense in self.defenses:
            if defense.stage != "before":
                why = "changes the training of a network" if defense.stage == "in" else "verifies a network"
                raise IncompatibleError(
                    f"{type(defense).__name__} {why}, and {name} is none: take a defence that chooses or changes the "
                    "training records, such as defense=outlier_removal, or a PyTorch model"
                )

    def build(self, shape: tuple[int, ...], stream: Stream) -> nn.Module:
        """There is no network before it is fitted."""
        raise IncompatibleError(f"{type(self.estimator).__name__} is no network: it has no initial weights")

    def try_out(self, records: Records) -> None:
        """`SettingError` if it is no classifier by scikit-learn's interface; nothing is fitted."""
        lacking = [name for name in ("fit", "predict", "get_params") if not hasattr(self.estimator, name)]
        if lacking:
            raise SettingError(f"`model` must have {', '.join(lacking)}: {type(self.estimator).__name__} has not")

    def describe(self) -> dict[str, Any]:
        """The estimator and what it is given, as JSON."""
        from sklearn.base import clone

        return {
            "estimator": digest_of(clone(self.estimator)),
            "view": digest_of(self.view),
            "classes": self.classes and [repr(name) for name in self.classes],
            "num_classes": self.num_classes,
            "network": self.network().describe() if self.training_defenses else None,
            "defenses": [defense.describe() for defense in self.training_defenses],
            "code": [code_digest(__name__)],
        }

    def produce(self, records: Records, stream: Stream | int, label: str = "model") -> Trained:
        """One fitted estimator, in the form in which the library asks every model."""
        stream = Stream.of(stream)
        key = self.key(records, stream)
        if key not in self._made:
            self._made[key] = self._fitted(records, stream, key, label)
        return self._made[key]

    def produce_many(
        self, records: Sequence[Records], streams: Sequence[Stream | int], label: str = "models"
    ) -> list[Trained]:
        """One after the other: an estimator uses the cores itself."""
        found: list[Trained] = []
        with self.runtime.reporter.stage(label, len(records), "model") as stage:
            for part, stream in zip(records, streams, strict=True):
                found.append(self.produce(part, stream, label))
                stage.advance(1)
        return found

    def _fitted(self, records: Records, stream: Stream, key: str, label: str) -> Trained:
        began = time.perf_counter()
        report: dict[str, Any] = {"estimator": type(self.estimator).__name__}
        arrays: dict[str, np.ndarray] = {}
        said: list[str] = []
        for defense in self.training_defenses:
            prepared = defense.prepare(records, self.network(), stream)
            records = prepared.records
            if not len(records):
                raise DataError(f"{label}: {defense!r} leaves no record to train on")
            report |= prepared.report
            said += prepared.report.get("warnings", ())
            arrays |= {f"{defense.name}.{name}": array for name, array in prepared.arrays.items()}
        if records.targets is not None:
            raise IncompatibleError(f"{type(self.estimator).__name__} learns classes, no logits of a teacher")
        labels = records.y.cpu().numpy()
        labels = labels if self.classes is None else np.asarray(self.classes)[labels]
        if len(np.unique(labels)) < 2:
            raise DataError(f"{label}: the records to train on have one class only")
        made = refitted(self.estimator, stream)
        made.fit(self.view(records.inputs().cpu().numpy()), labels)
        report |= {"warnings": said, "seconds": time.perf_counter() - began}
        model = Answering(Probabilities(made, self.view, self.num_classes, self.classes), self.num_classes).eval()
        return Trained(model, report, arrays, key, loaded=False)
