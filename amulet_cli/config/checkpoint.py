"""A trained model's weights from a file: nothing in the file is ever executed."""

import hashlib
import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.files import is_file, located, read_bytes
from amulet_cli.config.file_digest import digest
from amulet_cli.config.instantiation import shown

if TYPE_CHECKING:
    from torch import Tensor

_HOW = "weights alone: torch.save(model.state_dict(), FILE), or a safetensors file"
_LARGEST = 1 << 36  # bytes


def stamped(value: Any) -> dict[str, str] | None:
    """`checkpoint=FILE` with a digest: a result depends on the content of the file, not on its path.

    Raises:
        UsageError: there is no such file, or it cannot be read.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise UsageError(f"`checkpoint` must be a file or null, got {shown(value)}")
    path = located(value)
    try:
        status = path.stat()
        return {"file": value, "sha256": digest(path, status.st_mtime_ns, status.st_size)}
    except (OSError, ValueError) as error:
        beside = [str(Path(value).parent / p.name) for p in path.parent.glob("*") if is_file(p)]
        raise UsageError(
            f"`checkpoint` cannot be read: {error.strerror if isinstance(error, OSError) else error}",
            where=str(path.absolute()),
            expected=f"a file with {_HOW}",
            meant=[f"checkpoint={name}" for name in similar(value, beside)],
        ) from error


@lru_cache(maxsize=1)
def weights(file: str, sha256: str) -> Mapping[str, Any]:
    """The state dict in a file whose digest is known, with what a training script saved around it.

    Raises:
        UsageError: the file has changed, contains more than weights, or cannot be read.
    """
    path = located(file)
    try:
        content = read_bytes(path, _LARGEST)
    except OSError as error:
        raise UsageError(f"`checkpoint` cannot be read: {error.strerror}", where=str(path.absolute())) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UsageError("`checkpoint` has changed since the command was given", where=str(path.absolute()))
    try:
        return _checked(_safetensors(content) if content[8:9] == b"{" else _unpickled(content))
    except UsageError as error:
        raise error.within(str(path.absolute())) from error


def _safetensors(content: bytes) -> "Mapping[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(content)
        header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError) as error:
        raise UsageError(f"`checkpoint` is a damaged safetensors file: {error}", expected=_HOW) from error
    if "amulet-model-1" not in header.get("__metadata__", {}):
        return tensors
    # From our own store, where the file also has arrays of the training report.
    return {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}


def _unpickled(content: bytes) -> Any:
    """With PyTorch's weights-only reader, which calls nothing that the file names."""
    import torch

    if _is_torchscript(content):
        raise UsageError(
            "`checkpoint` is a TorchScript file: a program with its weights, and nothing in a checkpoint is run",
            expected="its weights alone: torch.save(torch.jit.load(FILE).state_dict(), ANOTHER)",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that are refused anyway
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's text then says how to load it anyway, which we do not want to suggest.
        name = re.search(r"(?:GLOBAL|global|class|function) ([\w.]*\.\w+)", str(error))
        what = f"holds more than weights (`{name[1]}`)" if name else "is not weights alone"
        raise UsageError(
            f"`checkpoint` is refused: it {what}, and to load anything else could run any code",
            expected=_HOW,
        ) from error
    except Exception as error:
        raise UsageError("`checkpoint` is damaged, or no checkpoint of PyTorch", expected=_HOW) from error


def _is_torchscript(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _checked(found: Any) -> Mapping[str, Any]:
    """What was found, which must have a state dict somewhere; which one fits is seen when there is a model."""
    import torch

    from amulet.training.state_dicts import state_dicts

    if not isinstance(found, Mapping) or not found:
        raise UsageError(f"`checkpoint` must hold a state dict, got {type(found).__name__}", expected=_HOW)
    content = cast(Mapping[str, Any], found)
    if next(state_dicts(content), None) is None:
        odd = next((name for name, value in content.items() if not isinstance(value, torch.Tensor)), None)
        got = (
            "names that are no texts, or tensors without values"
            if odd is None
            else f"{type(content[odd]).__name__} in {odd}"
        )
        raise UsageError(f"`checkpoint` must hold tensors alone, got {got}", expected=_HOW)
    return content
