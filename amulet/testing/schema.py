"""Hyper-parameters: keyword-only, typed, with defaults, stored unchanged; and the YAML that lists them."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from amulet.assessment.risks import RISKS
from amulet.core.component import Component, Factory
from amulet.core.errors import SettingError

C = TypeVar("C", bound=Component)
Yaml = Mapping[str, Any] | str | Path


def read(yaml: Yaml) -> dict[str, Any]:
    """The content of an option: of a file, or what was read from one."""
    if isinstance(yaml, Mapping):
        return dict(yaml)
    import yaml as parser

    content: Any = parser.safe_load(Path(yaml).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise AssertionError(f"{yaml} holds no mapping")
    return cast(dict[str, Any], content)


def instance_of(component: type[C] | C, kind: type[C]) -> C:
    """A component to check: the one given, or one of the class given with its defaults."""
    cls = component if isinstance(component, type) else type(component)
    if not issubclass(cls, kind):
        raise AssertionError(f"{cls.__name__} must derive from amulet's {kind.__name__}")
    if missing := unwritten(cls):
        raise AssertionError(f"{cls.__name__} does not write {', '.join(f'`{name}`' for name in missing)}")
    if not isinstance(component, type):
        return component
    try:
        return component()
    except TypeError as error:
        raise AssertionError(
            f"{cls.__name__}() cannot be built: what it works on and its settings must all have defaults ({error})"
        ) from error


def unwritten(cls: type) -> list[str]:
    """The methods that a class leaves to its subclasses."""
    return [name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False)]


def component_problems(made: Component, yaml: Yaml | None) -> Iterator[str]:
    """What is wrong with the hyper-parameters of an attack or a defence, and with its option."""
    cls = type(made)
    stored = True
    for parameter in inspect.signature(cls).parameters.values():
        name = parameter.name
        if parameter.kind is parameter.VAR_KEYWORD:
            yield f"takes `**{name}`: a setting that is misspelt would go unseen"
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if parameter.default is parameter.empty:
            yield f"`{name}` has no default"
        if parameter.annotation is parameter.empty:
            yield f"`{name}` has no type"
        if not hasattr(made, name):
            stored = False
            yield f"`{name}` is not stored under its own name"
    if not stored:
        return
    yield from _unlike_defaults(cls)
    again = made.changed()
    if again.settings() != made.settings():
        yield f"`changed()` makes another one: {again!r} of {made!r}"
    shown = repr(made)
    if repr(again) != shown or any(f"{name}={value!r}" not in shown for name, value in made.settings().items()):
        yield f"its `repr` does not show its settings: {shown}"
    risk = getattr(made, "risk", None)
    if risk not in RISKS:
        yield f"`risk` must be one of {', '.join(RISKS)}; it is {risk!r}"
    if yaml is not None:
        yield from _option_problems(made, read(yaml))


def function_problems(function: Callable[..., Any], yaml: Yaml) -> Iterator[str]:
    """What is wrong with the option of a function with keyword-only settings, as a data set's."""
    option = read(yaml)
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    yield from _target_problems(option, function)
    yield from _setting_problems(option, defaults)
    yield from _about_problems(option, ("line", "source"))


def _unlike_defaults(cls: type[Component]) -> Iterator[str]:
    try:
        plain = cls()
    except (TypeError, SettingError):  # it was given by somebody who knows how to build it
        return
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
            kept = getattr(plain, parameter.name)
            if _as_listed(kept) != _as_listed(parameter.default):
                yield f"`{parameter.name}` is not stored unchanged: {parameter.default!r} became {kept!r}"


def _option_problems(made: Component, option: Mapping[str, Any]) -> Iterator[str]:
    yield from _target_problems(option, type(made))
    yield from _setting_problems(option, made.settings())
    stage = getattr(made, "stage", None)
    yield from _about_problems(option, ("line", "source", "risk", *(("stage",) if stage else ())))
    about = _about(option)
    for name in ("risk", "stage"):
        said, is_ = about.get(name), getattr(made, name, None)
        if said and said != is_:
            yield f"its option says `about.{name}: {said}`; its class says {is_!r}"


def _target_problems(option: Mapping[str, Any], target: object) -> Iterator[str]:
    path = option.get("_target_")
    try:
        found = Factory(str(path)).load()
    except SettingError as error:
        yield f"its option's `_target_` leads nowhere: {error}"
        return
    if found is not target:
        yield f"its option's `_target_` is something else: {path}"


def _setting_problems(option: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    listed = {name: value for name, value in option.items() if name not in ("_target_", "about")}
    for name in settings.keys() - listed.keys():
        yield f"its option does not list `{name}`"
    for name in listed.keys() - settings.keys():
        yield f"its option lists `{name}`, which is no setting of it"
    for name in settings.keys() & listed.keys():
        if _as_listed(settings[name]) != _as_listed(listed[name]):
            yield f"its option has `{name}: {listed[name]}`, the default is {settings[name]!r}"


def _about_problems(option: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[str]:
    for name in wanted:
        if not _about(option).get(name):
            yield f"its option does not say `about.{name}`"


def _about(option: Mapping[str, Any]) -> Mapping[str, Any]:
    about = option.get("about")
    return cast(Mapping[str, Any], about) if isinstance(about, Mapping) else {}


def _as_listed(value: Any) -> Any:
    """As YAML has it: a list for a tuple."""
    if isinstance(value, (list, tuple)):
        return [_as_listed(item) for item in cast("list[Any]", value)]
    return value
