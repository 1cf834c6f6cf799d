"""Estimators from files that hold data only; a pickle can run any program and is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amulet.core.errors import DataError, SettingError

ENDINGS = (".onnx", ".skops", ".json", ".ubj", ".txt")
_OUT = (
    "A pickle can run any program, so none is read: save the model with skops.io.dump, save_model (XGBoost, LightGBM) "
    "or skl2onnx"
)


def check_ending(path: str, setting: str = "model") -> None:
    """`SettingError` about `setting` for a file of another kind, a pickle above all; nothing is read."""
    if not path.lower().endswith(ENDINGS):
        raise SettingError(f"`{setting}`: {path} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}. {_OUT}")


def estimator_in(path: str, content: bytes, trusted: Sequence[str] = ()) -> tuple[Any, bool]:
    """The estimator of a file (.skops; .json and .ubj by XGBoost; .txt by LightGBM), and whether a clone can be fitted.

    The files of XGBoost and LightGBM hold the trees and not all that they were trained with.

    Raises:
        SettingError: another format, or a package that is missing.
        DataError: it is damaged, or has types that nobody trusts.
    """
    check_ending(path)
    ending = Path(path).suffix.lower()
    if ending == ".skops":
        return _skops(path, content, trusted), True
    return (_lightgbm if ending == ".txt" else _xgboost)(path, content), False


def _skops(path: str, content: bytes, trusted: Sequence[str]) -> Any:
    try:
        from skops import io
    except ImportError as error:
        raise SettingError("a .skops file needs skops: pip install 'amulet-cli[estimators]'") from error
    try:
        unknown = [name for name in io.get_untrusted_types(data=content) if name not in trusted]
        if unknown:
            raise DataError(f"{path} has types that skops does not trust. If you do: `trusted`=[{','.join(unknown)}]")
        return io.loads(content, trusted=list(trusted))
    except DataError:
        raise
    except Exception as error:  # a damaged file fails in any way
        raise DataError(f"{path} cannot be read as skops: {error}") from error


def _xgboost(path: str, content: bytes) -> Any:
    try:
        from xgboost import XGBClassifier
    except ImportError as error:
        raise SettingError("this file needs xgboost: pip install 'amulet-cli[estimators]'") from error
    made = XGBClassifier()
    try:
        made.load_model(bytearray(content))
    except Exception as error:
        raise DataError(f"{path} cannot be read as an XGBoost model: {str(error).splitlines()[0]}") from error
    return made


def _lightgbm(path: str, content: bytes) -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise SettingError("this file needs lightgbm: pip install 'amulet-cli[estimators]'") from error
    try:
        booster: Any = lightgbm.Booster(model_str=content.decode())
        objective = str(booster.dump_model(num_iteration=1).get("objective"))
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a LightGBM model: {str(error).splitlines()[0]}") from error
    if not objective.startswith(("binary", "multiclass")):
        raise DataError(f"{path} must be a classifier, got a LightGBM model with the objective {objective}")
    return LightGBMFile(booster)


class LightGBMFile:
    """A booster that answers as a classifier does."""

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        self.classes_ = np.arange(max(2, int(booster.num_model_per_iteration())))
        self.feature_names_in_ = np.array(booster.feature_name())

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities (n, classes), float64."""
        found = np.asarray(self.booster.predict(x), dtype=np.float64)
        return found if found.ndim == 2 else np.stack([1 - found, found], axis=1)

    def predict(self, x: Any) -> np.ndarray:
        """Classes (n,)."""
        return self.predict_proba(x).argmax(axis=1)
