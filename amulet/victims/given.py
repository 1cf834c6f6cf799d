"""What somebody gives to be assessed, in the form that a plan takes: `Plan(victim=of(model, data))`."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import nn

from amulet.core.access import ALL, Access
from amulet.core.errors import SettingError, one_of
from amulet.datasets.base import AmuletDataset
from amulet.datasets.custom.column import in_words
from amulet.training.base_recipe import Trained
from amulet.training.recipe import Recipe
from amulet.victims.answering import Answering
from amulet.victims.endpoint import Endpoint
from amulet.victims.estimators import EstimatorRecipe, Probabilities, digest_of
from amulet.victims.files import LightGBMFile, check_ending, estimator_in
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
    members_known: bool = False
    """Are the records of the training part those that it was trained on?"""
    lasting: bool = True
    """Will it answer the same tomorrow?"""

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
            recipe; unfitted: a clone is trained); a path ending in .onnx, .skops, .json or .ubj (XGBoost),
            or .txt (LightGBM); a URL.
        data: what it is assessed on.
        columns: `encoded`: our columns in [0, 1]; `raw`: a DataFrame of the raw columns; `auto`: by the names that a
            fitted estimator was trained with, else encoded.
        view: what it takes instead, from our columns.
        classes: its own names of the classes, in the data's order; None: the data's names, if it has those, else 0, 1,
            ...
        accuracy: on the test records, as its owner knows it: refused outside its 99 % interval.
        trusted: types that a .skops file may have beside those that skops trusts.
        endpoint: settings of `Endpoint`.

    Raises:
        SettingError: a pickle, a missing package, columns that the data do not have.
    """
    one_of("columns", columns, ("auto", "encoded", "raw"))
    if isinstance(model, nn.Module):
        return GivenVictim(
            noun=type(model).__name__, access=ALL & ~Access.TRAINING, digest=uuid.uuid4().hex, model=model,
            accuracy=accuracy,
        )  # fmt: skip
    text = str(model) if isinstance(model, str | Path) else ""
    view = Frame(data) if view is None and columns == "raw" else view
    if text.startswith(("http://", "https://")):
        answer = Endpoint(text, data.num_classes, view=view, **endpoint)
        return _answering("endpoint", answer, uuid.uuid4().hex, data, accuracy, lasting=False)
    if endpoint:
        raise SettingError(f"{', '.join(endpoint)}: these are settings of an endpoint, and `model` is none")
    if text:
        return of_file(
            text, content_of(text), data, columns=columns, view=view, classes=classes, accuracy=accuracy,
            trusted=trusted,
        )  # fmt: skip
    return _estimator(model, data, view, columns, classes, accuracy)


def content_of(path: str, setting: str = "model") -> bytes:
    """A model's file, which `setting` names.

    Raises:
        SettingError: it is of no kind that is read here, or cannot be read.
    """
    check_ending(path, setting)
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise SettingError(f"`{setting}`: {path} cannot be read ({error.strerror})") from error


def of_file(
    path: str,
    content: bytes,
    data: AmuletDataset,
    *,
    columns: str = "auto",
    view: View | None = None,
    classes: Sequence[Any] | None = None,
    accuracy: float | None = None,
    trusted: Sequence[str] = (),
) -> GivenVictim:
    """A victim from the content of a file; the arguments are those of `of`."""
    view = Frame(data) if view is None and columns == "raw" else view
    if path.lower().endswith(".onnx"):
        answer = OnnxFile(path, data.num_classes, view=view, content=content)
        return _answering("ONNX model", answer, hashlib.sha256(content).hexdigest(), data, accuracy)
    estimator, refittable = estimator_in(path, content, trusted)
    found = _estimator(estimator, data, view, columns, classes, accuracy)
    if refittable:
        return found
    digest = hashlib.sha256(content + found.digest.encode()).hexdigest()
    return replace(found, estimator=None, access=found.access & ~Access.TRAINING, digest=digest)


def _answering(
    noun: str, answer: Any, digest: str, data: AmuletDataset, accuracy: float | None, *, lasting: bool = True
) -> GivenVictim:
    return GivenVictim(
        noun=noun,
        access=_ANSWERS,
        digest=digest,
        model=Answering(answer, data.num_classes),
        view=answer.view,
        accuracy=accuracy,
        lasting=lasting,
    )


def _estimator(
    estimator: Any,
    data: AmuletDataset,
    view: View | None,
    columns: str,
    classes: Sequence[Any] | None,
    accuracy: float | None,
) -> GivenVictim:
    named = _names_of_classes(estimator, data) if classes is None else tuple(classes)
    learns = all(hasattr(estimator, name) for name in ("fit", "predict", "get_params"))
    if not learns and not isinstance(estimator, LightGBMFile):
        raise SettingError(
            f"`model` must be a torch.nn.Module, an estimator by scikit-learn's interface, a path or a URL; got "
            f"{type(estimator).__name__}"
        )
    said = ""
    if view is None:
        view, said = (Columns(), "") if columns == "encoded" else _view_of(estimator, data)
    model = None
    if hasattr(estimator, "classes_"):
        model = Answering(Probabilities(estimator, view, data.num_classes, named), data.num_classes)
    access = _ANSWERS if hasattr(estimator, "predict_proba") else Access.LABELS | Access.QUERIES
    identity = "".join((digest_of(estimator), digest_of(view), repr(named)))
    return GivenVictim(
        noun=type(estimator).__name__,
        access=access | Access.TRAINING,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        model=model,
        estimator=estimator,
        view=view,
        classes=named,
        accuracy=accuracy,
        said=said,
    )


def _names_of_classes(estimator: Any, data: AmuletDataset) -> tuple[Any, ...] | None:
    """Its own names of the classes, where these are the data's names as text; None: they are 0, 1, ..."""
    own = {_text(name): name for name in np.asarray(getattr(estimator, "classes_", ())).tolist()}
    labels = [str(label) for label in cast(Sequence[Any], data.notes.get("labels", ()))]
    if not own or len(labels) != data.num_classes or not own.keys() <= set(labels):
        return None
    return tuple(own.get(label, label) for label in labels)


def _text(name: Any) -> str:
    return in_words(name) if isinstance(name, float) else str(name).strip()


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
