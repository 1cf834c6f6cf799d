"""`amulet.audit`: every attack on a model that its owner has in memory."""

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from amulet.core.errors import SettingError
from amulet.models.inspect import evaluating
from amulet_cli.base.files import write_atomically
from amulet_cli.commands.audit import every_attack
from amulet_cli.config.arguments import parse
from amulet_cli.python.given import Template, keep, reset
from amulet_cli.python.records import Given, Part, data_of, part_of
from amulet_cli.python.results import Results
from amulet_cli.python.running import Choice, carried_out, words_of

_BATCH = 4096


def audit(
    model: nn.Module,
    train: Any,
    test: Any,
    *,
    target: str | None = None,
    sensitive_features: Sequence[str] = (),
    features: Sequence[str] | None = None,
    architecture: Callable[[], nn.Module] | None = None,
    attack: Choice = None,
    seeds: int | Sequence[int] = 1,
    settings: Mapping[str, Any] | None = None,
    output_dir: str | Path = "outputs",
    name: str = "given",
    progress: bool = True,
) -> Results:
    """Attack a trained model as it is: `amulet audit` with a checkpoint, from Python.

    The model is copied and never trained further. What needs to know how it was trained is refused with the reason,
    unless ``settings={"recipe": "given", "epochs": ...}`` says so. The adversary's own models are like it, with weights
    drawn anew.

    Args:
        model: takes inputs (n, ...) as `train` has them and returns logits (n, classes).
        train: records like those that it was trained on, from which the adversary's are taken: a frame, ``(X, y)``,
            ``(X, y, A)`` with sensitive attributes A, or a data set of torch. Inputs are numbers in the model's own
            units, images (n, channels, height, width).
        test: records that it was not trained on, of the same form.
        target: the column of classes of a frame. Classes 0 .. k-1 are the model's outputs in this order, others are
            numbered in the order of their values.
        sensitive_features: columns of a frame, or names of the columns of A.
        features: the columns of a frame that are the inputs, in the model's order; None: all but the target and the
            sensitive ones.
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
    if not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] - users have no type checker
        raise SettingError(f"`model` must be a torch.nn.Module, got {type(model).__name__}")
    if not name.isidentifier():
        raise SettingError(f"`name` must be a word of letters, digits and _, got {name!r}")
    parts = [
        part_of(part, where, target, tuple(sensitive_features), features)
        for part, where in ((train, "train"), (test, "test"))
    ]
    own = copy.deepcopy(model).cpu().eval()
    answers = _answers(own, parts[1])
    given = data_of(*parts, outputs=answers.shape[1], name=name)
    template = Template(own, architecture, given)
    if architecture is None:
        with torch.random.fork_rng(devices=[]):
            reset(copy.deepcopy(own))  # refuses now what could not be made later
    digest = keep(template)
    weights = Path(output_dir) / "given" / f"{digest[:16]}.safetensors"
    state = {key: value.detach().clone().contiguous() for key, value in template.scaled(own).state_dict().items()}
    weights.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(weights, lambda file: file.write(save(state)))
    right = float((answers.argmax(dim=1) == given.data.test.y).float().mean())
    # What was given is known in this process alone: the adversary's models are trained here.
    asked = {"checkpoint": str(weights), "workers": 1, **({"checkpoint_accuracy": right} if 0 < right < 1 else {})}
    chosen = {"dataset": name, "model": name, "attack": attack}
    words = words_of(chosen, seeds, {**asked, **(settings or {}), "output_dir": str(output_dir)})
    with tempfile.TemporaryDirectory() as folder:
        _options(Path(folder), name, given, digest)
        return carried_out(lambda: every_attack(parse(["--config-dir", folder, *words])), progress=progress)


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


def _options(folder: Path, name: str, given: Given, digest: str) -> None:
    for group, target, named in (("dataset", "data", given.digest), ("model", "model", digest)):
        (folder / group).mkdir()
        text = f"_target_: amulet_cli.python.given.{target}\ndigest: '{named}'\n"
        (folder / group / f"{name}.yaml").write_text(text, encoding="utf-8")
