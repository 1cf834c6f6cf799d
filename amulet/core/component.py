"""Components: classes whose keyword-only arguments are their hyper-parameters, and factories for other classes."""

import hashlib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self

from amulet.core.access import Access
from amulet.core.arguments import checked
from amulet.core.errors import SettingError

_IMPORT = re.compile(r"^\s*(?:from|import)\s+([\w.]+)(?:\s+import\s+\(?\s*([\w, ]+))?", re.MULTILINE)


@cache
def code_digest(module: str) -> str:
    """SHA-256 (16 hex digits) of a module's source code, so that a change of the code makes stored models invalid.

    It includes what the module imports from its own package, directly or indirectly.
    """
    sources: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in sources and (source := _source(name)) is not None:
            sources[name] = source
            waiting += _imported(source, name.partition(".")[0])
    text = repr(sorted(sources.items())) if sources else module  # built in, or typed into an interpreter
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _source(module: str) -> str | None:
    try:
        return inspect.getsource(importlib.import_module(module))
    except (ImportError, OSError, TypeError):
        return None


def _imported(source: str, package: str) -> list[str]:
    """The modules of one package that a source imports; some names may be members of a module instead."""
    found: list[str] = []
    for where, names in _IMPORT.findall(source):
        if where.partition(".")[0] == package:
            found += [where, *(f"{where}.{name.strip().split()[0]}" for name in names.split(",") if name.strip())]
    return found


@cache
def _keyword_only(cls: type) -> tuple[str, ...]:
    parameters = inspect.signature(cls).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


LEAST_WORK: Mapping[str, float] = {
    "adversary_steps": 1,
    "epochs": 2,
    "fine_tune_epochs": 1,
    "independents": 2,
    "n_models": 3,
    "n_shadow": 4,
    "queries": 100,
    "ramp": 1,
    "records": 40,
    "repeats": 2,
    "restarts": 1,
    "steps": 5,
    "suspects": 1,
    "triggers": 20,
}
"""Hyper-parameters that many components have under the same names, and how large they need to be to be tried."""


class Component:
    """An attack, a defence, an objective: built with its hyper-parameters, which it stores under their own names.

    The positional arguments of a subclass are the objects it works on (a model, a loader). The keyword-only arguments
    are its hyper-parameters; their types and defaults are the schema of its configuration.
    """

    title: str = ""
    """Its name for people, where its class does not read as one: `adversarial training`. A subclass has its own."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "__init__" in cls.__dict__:
            cls.__init__ = checked(cls.__init__)

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """The names of the hyper-parameters, in the order of the signature."""
        return _keyword_only(cls)

    def settings(self) -> dict[str, Any]:
        """The hyper-parameters: ``{name: value}``."""
        return {name: getattr(self, name) for name in self.parameters()}

    def name_in_words(self) -> str:
        """`title`, or its class as words."""
        return vars(type(self)).get("title") or in_words(kind_of(self))

    def settable(self) -> tuple[str, ...]:
        """The names that `changed` takes."""
        return self.parameters()

    def changed(self, **changes: Any) -> Self:
        """An unbound copy with some hyper-parameters changed."""
        return type(self)(**{**self.settings(), **changes})

    def for_trial(self) -> Self:
        """An unbound copy with as little work as shows that it works: whatever of `LEAST_WORK` it has more of."""
        least = {
            name: type(value)(LEAST_WORK[name])
            for name, value in self.settings().items()
            if name in LEAST_WORK and isinstance(value, (int, float)) and value > LEAST_WORK[name]
        }
        return self.changed(**least)

    def describe(self) -> dict[str, Any]:
        """What determines this component's effect, as JSON: class, hyper-parameters, digest of its code."""
        return {"class": kind_of(self), "settings": self.settings(), "code": code_digest(type(self).__module__)}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        return f"{type(self).__name__}({settings})"


def kind_of(component: Component) -> str:
    """The class of a component: `package.module.Class`."""
    return f"{type(component).__module__}.{type(component).__qualname__}"


def in_words(kind: str) -> str:
    """The name of a class as words, for people.

    >>> in_words("amulet.poisoning.defenses.OutlierRemoval"), in_words("my_attacks.RMIA")
    ('outlier removal', 'RMIA')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", kind.rpartition(".")[2]).split()
    return " ".join(word.lower() if word.istitle() else word for word in words)


class Attack(Component):
    """The base of all attacks. A subclass belongs to one risk, whose protocol defines what it must offer."""

    risk: str
    """The risk's package: `evasion`, `poisoning`, ..."""
    needs: Access = Access.LABELS | Access.QUERIES
    """What it must have of the victim; where that is not granted, it is refused, or left out of a suite."""

    def models_trained(self) -> int:
        """About how many models its risk is assessed with for each victim, the victim not counted: its cost.

        Override it where they are many; it is said before the first one is trained.
        """
        return 0


class Factory:
    """An import path and keyword arguments: how to build a model, an optimizer or a schedule, later and elsewhere.

    >>> Factory("torch.optim.SGD", lr=0.1)
    Factory('torch.optim.SGD', lr=0.1)
    """

    def __init__(self, path: str, /, **settings: Any) -> None:
        self.path = path
        self.settings = settings

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "Factory":
        """From the form used in configurations: ``{"_target_": path, ...}``."""
        settings = {str(key): value for key, value in mapping.items() if key != "_target_"}
        return cls(str(mapping["_target_"]), **settings)

    def load(self) -> Callable[..., Any]:
        """The class or function at the path; `SettingError` if there is none."""
        module, _, name = self.path.replace(":", ".").rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise SettingError(f"`{self.path}` cannot be imported: {error}") from error
        if not callable(found):
            raise SettingError(f"`{self.path}` must be a class or a function, got {type(found).__name__}")
        return found

    def build(self, *args: Any, **more: Any) -> Any:
        """Call it with `args`, its settings and `more`; of `more` only what it takes by its signature or its error."""
        target = self.load()
        try:
            accepted = inspect.signature(target).parameters
        except (TypeError, ValueError):  # no signature available: pass everything
            return target(*args, **self.settings, **more)
        if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            more = {name: value for name, value in more.items() if name in accepted}
        while True:
            try:
                return target(*args, **{**more, **self.settings})
            except TypeError as error:  # `**kwargs` hands on to what does not take it, as torchvision's models do
                refused = re.search(r"got an unexpected keyword argument '(\w+)'", str(error))
                if refused is None or refused[1] not in more or refused[1] in accepted:
                    raise
                more = {name: value for name, value in more.items() if name != refused[1]}

    def with_settings(self, **settings: Any) -> "Factory":
        """A copy with some settings changed."""
        return Factory(self.path, **{**self.settings, **settings})

    def describe(self) -> dict[str, Any]:
        """What determines the result, as JSON; with a digest of the code unless it is torch's."""
        target = self.load()
        module = getattr(target, "__module__", "")
        code = "" if module.startswith("torch.") else code_digest(module)
        return {"class": self.path.replace(":", "."), "settings": self.settings, "code": code}

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value!r}" for name, value in self.settings.items())
        return f"Factory({self.path!r}{settings})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Factory) and (self.path, self.settings) == (other.path, other.settings)

    __hash__ = None  # type: ignore[assignment]  # settings may hold lists
