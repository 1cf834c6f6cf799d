"""`amulet.audit`: every attack on a model that its owner has."""

import copy
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from amulet.core.errors import SettingError
from amulet.datasets.custom.predictions import predictions_of
from amulet.datasets.custom.table import read_table
from amulet.models.inspect import evaluating
from amulet.victims import Carrier, carrier_of
from amulet.victims.estimators import about_names
from amulet_cli.base.files import write_atomically
from amulet_cli.commands.audit import every_attack
from amulet_cli.config.arguments import parse
from amulet_cli.python.given import Template, keep, keep_carried, keep_data, reset
from amulet_cli.python.records import Part, Taken, as_table, data_of, part_of, table_of
from amulet_cli.python.results import Results
from amulet_cli.python.running import Choice, carried_out, words_of

_BATCH = 4096


def audit(
    model: Any = None,
    train: Any = None,
    test: Any = None,
    *,
    predictions: Any = None,
    target: str | None = None,
    sensitive_features: Sequence[str] = (),
    features: Sequence[str] | None = None,
    member: str | None = None,
    architecture: Callable[[], nn.Module] | None = None,
    attack: Choice = None,
    seeds: int | Sequence[int] = 1,
    settings: Mapping[str, Any] | None = None,
    output_dir: str | Path = "outputs",
    name: str = "given",
    progress: bool = True,
) -> Results:
    """Attack a trained model as it is: `amulet audit` of a given model, from Python.

    It is never changed or trained further. What needs more than it grants is refused with the reason. A network is
    copied; how it was trained is unknown unless ``settings={"recipe": "given", "epochs": ...}`` says so, and the
    adversary's own models are like it, with weights drawn anew. An estimator is trained again by its clone.

    Args:
        model: a network that takes inputs (n, ...) as `train` has them and returns logits (n, classes); an estimator or
            pipeline by scikit-learn's interface, which gets the columns, units and types of `train`; a path or a URL
            (`amulet.victims.EstimatorFile`, `Service`, which have more settings).
        train: records like those that it was trained on, from which the adversary's are taken: a frame, ``(X, y)``,
            ``(X, y, A)`` with sensitive attributes A, or a data set of torch. Inputs are in the model's own units: of a
            network numbers, images (n, channels, height, width); of an estimator any table.
        test: records that it was not trained on, of the same form.
        predictions: instead of the three, a frame or a file of what a model answered: `probability` (of class 1 of two)
            or a column `probability_...` for each class, in the order of the classes. What needs other answers is
            refused.
        target: the column of classes of a frame. Classes 0 .. k-1 are the model's outputs in this order, others are
            numbered in the order of their values.
        sensitive_features: columns of a frame, or names of the columns of A.
        features: the columns of a frame that are the inputs (of `predictions`: the probabilities), in the model's
            order; None: those that an estimator says it was trained with, else all but the target and the sensitive
            ones.
        member: of `predictions`, the column that says which records the model was trained on: 1 or 0.
        architecture: makes a new model of the same kind, where the layers' own `reset_parameters` cannot.
        attack: only this one, or these; None: all.
        seeds: how many, or which, as in `assess`.
        settings: any setting of the command line: ``{"attack.epsilon": 0.1}`` with one attack, ``{"epochs": 5}`` for
            the adversary's models.
        output_dir: the folder of the results.
        name: what results call the model and the records.
        progress: whether progress is shown.

    Returns:
        Every run; the refused ones in `Results.refused`.

    Raises:
        SettingError: the model does not fit the records, or something is wrong with the command.
        DataError: the records cannot be used.
    """
    if not name.isidentifier():
        raise SettingError(f"`name` must be a word of letters, digits and _, got {name!r}")

    def part(given: Any, where: str, names: Sequence[str] | None, taken: Taken | None = None) -> Part:
        return part_of(given, where, target, tuple(sensitive_features), names, taken)

    if predictions is not None:
        if model is not None or train is not None or test is not None:
            raise SettingError("`predictions` stands for `model`, `train` and `test`: leave these out")
        asked, options = _recorded(predictions, target or "label", tuple(sensitive_features), features, member, name)
    elif model is None or train is None or test is None:
        raise SettingError("`model`, `train` and `test` must be given, or `predictions`")
    elif isinstance(model, nn.Module):
        asked, options = _network(
            model, part(train, "train", features), part(test, "test", features), architecture, name, Path(output_dir)
        )
    else:
        if architecture is not None:
            raise SettingError("`architecture` is for a network; here settings={'model.architecture': 'my_nets.MyNet'}")
        carrier = carrier_of(model)
        carrier.check()
        known = carrier.estimator()
        names = features or _known_names(known, train)
        asked, options = _carried(
            carrier, known, part(train, "train", names, as_table), part(test, "test", names, as_table), name
        )
    chosen = {"dataset": name, "model": name, "attack": attack}
    words = words_of(chosen, seeds, {**asked, **(settings or {}), "output_dir": str(output_dir)})
    with tempfile.TemporaryDirectory() as folder:
        for group, option in options.items():
            (Path(folder) / group).mkdir()
            (Path(folder) / group / f"{name}.yaml").write_text(json.dumps(option), encoding="utf-8")
        return carried_out(lambda: every_attack(parse(["--config-dir", folder, *words])), progress=progress)


Prepared = tuple[dict[str, Any], dict[str, dict[str, Any]]]
"""Settings of the command, and the options for which what was given stands."""


def _network(
    model: nn.Module,
    train: Part,
    test: Part,
    architecture: Callable[[], nn.Module] | None,
    name: str,
    output_dir: Path,
) -> Prepared:
    own = copy.deepcopy(model).cpu().eval()
    answers = _answers(own, test)
    given = data_of(train, test, outputs=answers.shape[1], name=name)
    template = Template(own, architecture, given)
    if architecture is None:
        with torch.random.fork_rng(devices=[]):
            reset(copy.deepcopy(own))  # refuses now what could not be made later
    digest = keep(template)
    weights = output_dir / "given" / f"{digest[:16]}.safetensors"
    state = {key: value.detach().clone().contiguous() for key, value in template.scaled(own).state_dict().items()}
    weights.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(weights, lambda file: file.write(save(state)))
    right = float((answers.argmax(dim=1) == given.data.test.y).float().mean())
    # What was given is known in this process alone: the adversary's models are trained here.
    asked = {"checkpoint": str(weights), "workers": 1, **({"checkpoint_accuracy": right} if 0 < right < 1 else {})}
    return asked, _options(given.digest, {"_target_": f"{_GIVEN}.model", "digest": digest})


def _recorded(
    given: Any,
    target: str,
    sensitive: Sequence[str],
    probabilities: Sequence[str] | None,
    member: str | None,
    name: str,
) -> Prepared:
    columns = dict(given.items()) if hasattr(given, "columns") else read_table(Path(given).expanduser()).columns
    data = predictions_of(
        columns, target=target, probabilities=probabilities, sensitive=sensitive, member=member, name=name
    )
    keep_data(data.train.digest, data)
    option = {"_target_": "amulet.victims.Recorded", "accuracy": None, "architecture": None}
    return {}, _options(data.train.digest, option)


def _known_names(estimator: Any, train: Any) -> list[str] | None:
    """The columns of a frame that an estimator says it was trained with; None where it does not."""
    names = [*map(str, getattr(estimator, "feature_names_in_", ()))]
    return names if names and set(names) <= set(getattr(train, "columns", ())) else None


def _carried(carrier: Carrier, estimator: Any, train: Part, test: Part, name: str) -> Prepared:
    own = [*np.asarray(getattr(estimator, "classes_", ())).tolist()]
    made, view = table_of(train, test, len(own) or None, name)
    digest = keep_carried(carrier, view, made)
    accuracy = carrier.accuracy
    if accuracy is None and {*own} & {*test.y.tolist()}:  # on the records as they are: the way back must lead there
        accuracy = _accuracy(estimator, test)
    option = {"_target_": f"{_GIVEN}.Kept", "named": digest, "accuracy": accuracy, "architecture": carrier.architecture}
    return {}, _options(made.digest, option)


def _accuracy(estimator: Any, test: Part) -> float:
    """What a fitted estimator has on test records in its own columns."""
    try:
        with about_names():
            return float(np.mean(np.asarray(estimator.predict(test.x)) == test.y))
    except Exception as error:  # an estimator may refuse its input in any way
        raise SettingError(f"`model` does not take the records of `test`: {error}") from error


_GIVEN = "amulet_cli.python.given"


def _options(digest: str, model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"dataset": {"_target_": f"{_GIVEN}.data", "digest": digest}, "model": model}


def _answers(model: nn.Module, part: Part) -> torch.Tensor:
    """What the model answers to test records as its owner has them."""
    x = part.x.float() / 255 if part.x.dtype == torch.uint8 else part.x
    try:
        with torch.no_grad(), evaluating(model):
            found = torch.cat([model(batch) for batch in x.split(_BATCH)])
    except (RuntimeError, TypeError, ValueError) as error:
        raise SettingError(f"`model` does not take inputs of shape {tuple(x.shape)}: {error}") from error
    if found.dim() != 2 or found.shape[1] < 2:
        raise SettingError(
            f"`model` must return logits (n, classes), got {tuple(found.shape)}. With one output, let it give two: "
            "torch.cat([torch.zeros_like(z), z], dim=1)"
        )
    return found
