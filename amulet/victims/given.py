"""What somebody gives to be assessed, in the form that a plan takes: `Plan(victim=of(model, data))`."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import nn

from amulet.core.access import ALL, Access
from amulet.core.errors import SettingError, one_of
from amulet.datasets.base import AmuletDataset
from amulet.training.base_recipe import Trained
from amulet.training.recipe import Recipe
from amulet.victims.answering import Answering
from amulet.victims.endpoint import Endpoint
from amulet.victims.estimators import EstimatorRecipe, Probabilities, digest_of
from amulet.victims.files import estimator_in
from amulet.victims.onnx_file import OnnxFile
from amulet.victims.views import Columns, Frame, View

_ANSWERS = Access.LABELS | Access.PROBABILITIES | Access.LOGITS | Access.QUERIES
"""Log-probabilities are logits but for a constant of each record, which no softmax sees."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenVictim:
    """A victim that is given, with what it grants. `Plan.architecture` and the rest are then the adversary's."""

    noun: str
    """What it is called in messages: `XGBClassifier`."""
    access: Access
    """What an adversary can have of it."""
    digest: str
    """Identifies it; another one each time where its answers may change."""
    model: nn.Module | None
    """It answers; None: it is trained first, by its recipe."""
    estimator: Any = None
    """Cloned and fitted on other records where a risk needs that; None: how it was trained is unknown."""
    view: View = field(default_factory=Columns)
    classes: tuple[Any, ...] | None = None
    accuracy: float | None = None
    """Its accuracy on test records, as its owner knows it."""
    said: str = ""
    """What was chosen for it: an order of columns."""

    @property
    def recipe_known(self) -> bool:
        """Can it be trained again?"""
        return self.estimator is not None

    def recipe(self, network: Recipe) -> Recipe:
        """How the victim is trained again, with the defences of `network`; `network` itself where that is unknown."""
        if self.estimator is None:
            return network
        return EstimatorRecipe.of(network, self.estimator, view=self.view, classes=self.classes)

    def restored(self, recipe: Recipe, shape: tuple[int, ...]) -> Trained:
        """The model as it was given."""
        assert self.model is not None
        report: dict[str, Any] = {"given": self.noun, "recipe": "clone" if self.recipe_known else "unknown"}
        if self.said:
            report["taken"] = self.said
        return Trained(self.model.to(recipe.runtime.device).eval(), report, {}, f"given-{self.digest}", loaded=True)


def of(
    model: Any,
    data: AmuletDataset,
    *,
    columns: str = "auto",
    view: View | None = None,
    classes: Sequence[Any] | None = None,
    accuracy: float | None = None,
    trusted: Sequence[str] = (),
    **endpoint: Any,
) -> GivenVictim:
    """A victim from a module, an estimator, a file or an address.

    Args:
        model: an `nn.Module`; an estimator by scikit-learn's interface (fitted: it is the victim and its clone the
            recipe; unfitted: a clone is trained); a path ending in .onnx, .skops, .json or .ubj (XGBoost);
            a URL.
        data: what it is assessed on.
        columns: `encoded`: our columns in [0, 1]; `raw`: a DataFrame of the raw columns; `auto`: by the names that a
            fitted estimator was trained with, else encoded.
        view: what it takes instead, from our columns.
        classes: its own names of the classes, in the data's order; None: 0, 1, ...
        accuracy: on the test records, as its owner knows it: refused outside its 99 % interval.
        trusted: types that a .skops file may have beside those that skops trusts.
        endpoint: settings of `Endpoint`.

    Raises:
        SettingError: a pickle, a missing package, columns that the data do not have.
    """
    one_of("columns", columns, ("auto", "encoded", "raw"))
    named = tuple(classes) if classes is not None else None
    if isinstance(model, nn.Module):
        return GivenVictim(
            noun=type(model).__name__, access=ALL & ~Access.TRAINING, digest=uuid.uuid4().hex, model=model,
            accuracy=accuracy,
        )  # fmt: skip
    text = str(model) if isinstance(model, str | Path) else ""
    if view is None and columns == "raw":
        view = Frame(data)
    if text.startswith(("http://", "https://")):
        answer = Endpoint(text, data.num_classes, view=view, **endpoint)
        return _answering("endpoint", answer, uuid.uuid4().hex, data, accuracy)
    if endpoint:
        raise SettingError(f"{', '.join(endpoint)}: these are settings of an endpoint, and `model` is none")
    if text.endswith(".onnx"):
        content = _read(text)
        answer = OnnxFile(text, data.num_classes, view=view)
        return _answering("ONNX model", answer, hashlib.sha256(content).hexdigest(), data, accuracy)
    estimator = estimator_in(text, _read(text), trusted) if text else model
    return _estimator(estimator, data, view, named, accuracy)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingError(f"`model`: {path} cannot be read ({error.strerror})") from error


def _answering(noun: str, answer: Any, digest: str, data: AmuletDataset, accuracy: float | None) -> GivenVictim:
    model = Answering(answer, data.num_classes)
    return GivenVictim(noun=noun, access=_ANSWERS, digest=digest, model=model, view=answer.view, accuracy=accuracy)


def _estimator(
    estimator: Any, data: AmuletDataset, view: View | None, classes: tuple[Any, ...] | None, accuracy: float | None
) -> GivenVictim:
    if not all(hasattr(estimator, name) for name in ("fit", "predict", "get_params")):
        raise SettingError(
            f"`model` must be a torch.nn.Module, an estimator by scikit-learn's interface, a path or a URL; got "
            f"{type(estimator).__name__}"
        )
    said = ""
    if view is None:
        view, said = _view_of(estimator, data)
    model = None
    if hasattr(estimator, "classes_"):
        model = Answering(Probabilities(estimator, view, data.num_classes, classes), data.num_classes)
    access = _ANSWERS if hasattr(estimator, "predict_proba") else Access.LABELS | Access.QUERIES
    identity = "".join((digest_of(estimator), digest_of(view), repr(classes)))
    return GivenVictim(
        noun=type(estimator).__name__,
        access=access | Access.TRAINING,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        model=model,
        estimator=estimator,
        view=view,
        classes=classes,
        accuracy=accuracy,
        said=said,
    )


def _view_of(estimator: Any, data: AmuletDataset) -> tuple[View, str]:
    """By the names that it was trained with; what had to be changed, for people."""
    wanted = tuple(map(str, cast(Sequence[Any], getattr(estimator, "feature_names_in_", ()))))
    ours = data.feature_names
    if not wanted or not ours or wanted == ours:
        return Columns(), ""
    if set(wanted) == set(ours):
        return Columns.named(wanted, ours), "its columns in the order of its own names, which is not the data's"
    if data.modality == "tabular" and not set(wanted) & (set(ours) - _numbers(data)):
        try:
            frame = Frame(data)
        except SettingError:
            return Columns(), ""
        if set(wanted) <= set(frame.columns):
            return frame, "the raw columns, which its names are"
    if all(name.startswith(("Column_", "f", "x")) for name in wanted) and len(wanted) == len(ours):
        return Columns(), ""  # LightGBM names the columns of an array itself
    return Columns.named(wanted, ours), ""


def _numbers(data: AmuletDataset) -> set[str]:
    grouped = {i for start, end in data.groups for i in range(start, end)}
    return {name for i, name in enumerate(data.feature_names) if i not in grouped}
