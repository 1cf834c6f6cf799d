"""Given victims by settings alone, as a configuration names them: `model=estimator`, `model=endpoint`."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from amulet.core.component import Factory
from amulet.core.errors import SettingError
from amulet.datasets.base import AmuletDataset
from amulet.victims.estimators import digest_of
from amulet.victims.files import ENDINGS, estimator_in
from amulet.victims.given import GivenVictim, content_of, of, of_file
from amulet.victims.views import View

Kind = Literal["auto", "encoded", "raw"]


@dataclass(frozen=True, kw_only=True)
class Carrier(ABC):
    """What carries a given victim: a file, a service. It becomes one on the data that it is assessed on."""

    accuracy: float | None = None
    """On the test records, as its owner knows it: refused outside its 99 % interval."""
    architecture: str | None = None
    """The adversary's own networks, by import path; None: `LinearNet`, for pictures `SmallCNN`."""

    @abstractmethod
    def check(self) -> None:
        """`SettingError` or `DataError` for what can be seen to be wrong before any data are read."""

    @abstractmethod
    def on(self, data: AmuletDataset, view: View | None = None) -> GivenVictim:
        """The victim, with what it grants.

        Args:
            data: what it is assessed on.
            view: what it takes of our columns, if that is known already.

        Raises:
            SettingError: it does not fit the data, or a package is missing.
            IncompatibleError: the data have no raw columns, which it is to be given.
        """

    @property
    @abstractmethod
    def digest(self) -> str:
        """Identifies what is carried: another content, another one."""

    def estimator(self) -> Any:
        """What names its columns and its classes, by scikit-learn's interface; None where nothing does."""
        return None

    def network(self, data: AmuletDataset | None) -> Factory:
        """The architecture of the adversary's own models."""
        usual = "amulet.models.SmallCNN" if data is not None and data.modality == "image" else "amulet.models.LinearNet"
        return Factory(self.architecture or usual)


@dataclass(frozen=True, kw_only=True)
class EstimatorFile(Carrier):
    """A trained model in a file: .onnx, .skops, .json or .ubj (XGBoost), .txt (LightGBM)."""

    path: str | None = None
    columns: Kind = "auto"
    """`encoded`: our columns in [0, 1]; `raw`: a DataFrame; `auto`: by the names that it was trained with."""
    classes: Sequence[str | int] | None = None
    """Its own names of the classes, in the data's order; None: the data's names, if it has those, else 0, 1, ..."""
    trusted: Sequence[str] = ()
    """Types that a .skops file may have beside those that skops trusts."""
    sha256: Mapping[str, str] | None = None
    """``{"path": digest}``: the file is refused if it has another by now."""

    def check(self) -> None:
        """Is there such a file, and is it of a kind that runs nothing?"""
        self._content()

    def on(self, data: AmuletDataset, view: View | None = None) -> GivenVictim:
        """The file's model."""
        path, content = self._content()
        return of_file(
            path,
            content,
            data,
            view=view,
            columns=self.columns,
            classes=self.classes,
            accuracy=self.accuracy,
            trusted=self.trusted,
        )

    @property
    def digest(self) -> str:
        """Of the file's content, its name and its settings."""
        path, content = self._content()
        return hashlib.sha256(content + repr((Path(path).suffix, replace(self, path=None))).encode()).hexdigest()

    def estimator(self) -> Any:
        """What is in the file; None for a graph of ONNX."""
        path, content = self._content()
        return None if path.lower().endswith(".onnx") else estimator_in(path, content, self.trusted)[0]

    def _content(self) -> tuple[str, bytes]:
        if not self.path:
            raise SettingError(f"`path` must name the file of a trained model: {', '.join(ENDINGS)}")
        content = content_of(self.path, "path")
        known = (self.sha256 or {}).get("path")
        if known is not None and hashlib.sha256(content).hexdigest() != known:
            raise SettingError(f"`path`: {self.path} has changed since the command was given; give it again")
        return self.path, content


@dataclass(frozen=True, kw_only=True)
class InMemory(Carrier):
    """An estimator in this process, fitted or not; it is never changed."""

    model: Any
    """By scikit-learn's interface."""

    def check(self) -> None:
        """Has it the interface of a classifier?"""
        if not all(hasattr(self.model, name) for name in ("fit", "predict", "get_params")):
            raise SettingError(
                "`model` must be a torch.nn.Module, an estimator by scikit-learn's interface, a path or a URL; got "
                f"{type(self.model).__name__}"
            )

    def on(self, data: AmuletDataset, view: View | None = None) -> GivenVictim:
        """The estimator; its clone is the recipe."""
        return of(self.model, data, view=view, accuracy=self.accuracy)

    @property
    def digest(self) -> str:
        """Of the estimator with all that it has learned."""
        return digest_of(self.model)

    def estimator(self) -> Any:
        """Itself."""
        return self.model


@dataclass(frozen=True, kw_only=True)
class Service(Carrier):
    """A model behind HTTP; the settings are those of `Endpoint`."""

    url: str | None = None
    columns: Literal["encoded", "raw"] = "encoded"
    """What it is sent: our columns in [0, 1], or objects with the names of the raw columns."""
    batch_size: int = 256
    per_second: float | None = None
    retries: int = 3
    wait: float = 0.5
    timeout: float = 30.0
    budget: int | None = None
    """Records that it may be asked about in one run."""
    authorization: str | None = None
    """The environment variable that holds the header `Authorization`: a secret is never part of a result."""

    def check(self) -> None:
        """Is there a URL without a secret in it, and the secret where it is said to be?"""
        if not self.url or not self.url.startswith(("http://", "https://")):
            raise SettingError(f"`url` must begin with http:// or https://, got {self.url}")
        if urlsplit(self.url).password:
            raise SettingError("`url` must hold no password, for results tell it: name a variable, `authorization`")
        self._headers()

    def on(self, data: AmuletDataset, view: View | None = None) -> GivenVictim:
        """The service; it is not asked yet."""
        self.check()
        return of(
            self.url,
            data,
            view=view,
            columns=self.columns,
            accuracy=self.accuracy,
            batch_size=self.batch_size,
            per_second=self.per_second,
            retries=self.retries,
            wait=self.wait,
            timeout=self.timeout,
            budget=self.budget,
            headers=self._headers(),
        )

    @property
    def digest(self) -> str:
        """Of its settings, for its answers may change."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def _headers(self) -> dict[str, str]:
        if self.authorization is None:
            return {}
        if self.authorization not in os.environ:
            raise SettingError(f"`authorization`: there is no environment variable {self.authorization}")
        return {"Authorization": os.environ[self.authorization]}


def carrier_of(model: Any) -> Carrier:
    """From what people give: a carrier, a path, a URL, an estimator."""
    if isinstance(model, Carrier):
        return model
    if isinstance(model, str | Path):
        text = str(model)
        return Service(url=text) if text.startswith(("http://", "https://")) else EstimatorFile(path=text)
    return InMemory(model=model)
