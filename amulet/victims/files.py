"""Estimators from files that hold data only; a pickle can run any program and is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amulet.core.errors import DataError, SettingError

_OUT = (
    "A pickle runs whatever its author put into it, so none is read. Load it yourself where you trust it, and save it "
    "with skops.io.dump (scikit-learn), save_model (.json: XGBoost) or skl2onnx (.onnx)"
)


def estimator_in(path: str, content: bytes, trusted: Sequence[str] = ()) -> Any:
    """The estimator of a file: .skops, or .json and .ubj by XGBoost.

    Raises:
        SettingError: another format, or a package that is missing.
        DataError: it is damaged, or has types that nobody trusts.
    """
    ending = Path(path).suffix.lower()
    if ending == ".skops":
        return _skops(path, content, trusted)
    if ending in (".json", ".ubj"):
        return _xgboost(path)
    raise SettingError(f"`model`: {path} must end in .onnx, .skops, .json or .ubj. {_OUT}")


def _skops(path: str, content: bytes, trusted: Sequence[str]) -> Any:
    try:
        from skops import io
    except ImportError as error:
        raise SettingError("a .skops file needs skops: pip install 'amulet-cli[estimators]'") from error
    try:
        unknown = [name for name in io.get_untrusted_types(data=content) if name not in trusted]
        if unknown:
            raise DataError(f"{path} has types that skops does not trust: {', '.join(unknown)}. Name them in `trusted`")
        return io.loads(content, trusted=list(trusted))
    except DataError:
        raise
    except Exception as error:  # a damaged file fails in any way
        raise DataError(f"{path} cannot be read as skops: {error}") from error


def _xgboost(path: str) -> Any:
    try:
        from xgboost import XGBClassifier
    except ImportError as error:
        raise SettingError("this file needs xgboost: pip install 'amulet-cli[estimators]'") from error
    made = XGBClassifier()
    try:
        made.load_model(path)
    except Exception as error:
        raise DataError(f"{path} cannot be read as an XGBoost model: {str(error).splitlines()[0]}") from error
    return made
