"""From a composed configuration to the library's `Plan`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from amulet.assessment import RISKS, Plan, risk_of
from amulet.assessment.plan import ExtraMetric
from amulet.core import Attack, DataError, Factory, SettingError
from amulet.core.evidence import Measurement
from amulet.core.risk import UTILITY
from amulet.datasets import AmuletDataset
from amulet.training import Defense, EarlyStopping, Pretrained, Recipe, Runtime, resolve_device
from amulet.victims import Carrier, GivenVictim
from amulet_cli.base.errors import UsageError
from amulet_cli.config import instantiation, risk_selection
from amulet_cli.config.checkpoint import weights
from amulet_cli.config.schema import augmentations

_GIVEN_LATER = {"model": ("input_shape", "num_classes"), "optimizer": ("params",), "schedule": ("optimizer",)}
_loaded: dict[str, AmuletDataset] = {}


def plan_of(config: Mapping[str, Any], *, data: AmuletDataset | None = None, runtime: Runtime | None = None) -> Plan:
    """The plan that a configuration describes, every component checked and built.

    Args:
        config: resolved, its top-level keys checked by `settings.check`.
        data: None before any data is read.
        runtime: the device and the store; by default one on the configured device with a store in memory.

    Raises:
        UsageError: a component does not take what the configuration gives it; the message names the full key.
    """
    instantiation.check(config["dataset"], "dataset")
    chosen = [key for key in ("defense", "second_defense") if config[key]["_target_"]]
    metrics = tuple(risk for name, node in config["metric"].items() for risk in _metrics(name, node))
    suites = {
        risk: _component(config, node, "attack", Attack)
        for risk, node in (config["attack"].get("suites") or {}).items()
    }
    carrier = _carrier(config)
    if config["members"] == "given" and not (carrier or config["checkpoint"]):
        raise UsageError(
            "`members=given` is about a model that is given, and this one is trained here, where its records are known",
            expected="checkpoint=FILE, model=estimator or model=endpoint beside it; or leave it out",
        )
    return Plan(
        data=data,
        architecture=carrier.network(data) if carrier else _factory(config, "model"),
        optimizer=_factory(config, "optimizer"),
        schedule=_factory(config, "schedule") if config["schedule"] else None,
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        early_stopping=_early_stopping(config["early_stopping"]),
        precision=config["precision"],
        augmentation=tuple(_augmentation(node) for node in augmentations(config["augmentation"])),
        defenses=tuple(_component(config, config[key], key, Defense) for key in chosen),
        attack=_component(config, config["attack"], "attack", Attack) if config["attack"]["_target_"] else None,
        trial=bool(config.get("trial")),
        attacks=suites,
        metrics=(*metrics, *suites) if suites and "default" in metrics else metrics,
        optional=tuple(dict.fromkeys((*risk_selection.among(config["metric"]), *suites))),
        attack_settings=_attack_settings(config["metric"]),
        extra_metrics=_extra_metrics(config["metric"]),
        adversary_fraction=config["adversary_fraction"],
        pretrained=_given(config),
        victim=_victim(carrier, config, data) if carrier else None,
        seed=config["seed"],
        reuse=not config["force"],
        runtime=runtime or Runtime(device=resolve_device(config["device"])),
    )


def load_data(node: Mapping[str, Any]) -> AmuletDataset:
    """The data set of a configuration. The last one is kept: the jobs of a sweep share it."""
    key = json.dumps(node, sort_keys=True)
    if key not in _loaded:
        _loaded.clear()
        try:
            data = instantiation.build(node, "dataset")
        except OSError as error:
            raise UsageError(f"the data cannot be read: {error}", where="`dataset`") from error
        if not isinstance(data, AmuletDataset):
            raise UsageError(f"`dataset._target_` must make an AmuletDataset, got {type(data).__name__}")
        _loaded[key] = data
    return _loaded[key]


def forget_data() -> None:
    """Free the data set that `load_data` keeps."""
    _loaded.clear()


def try_out(plan: Plan) -> None:
    """Build the model and its optimizer and run two records through it, so that errors show at once.

    Raises:
        UsageError: the model, the optimizer or the schedule refuses its settings.
        SettingError: the model does not fit the data.
    """
    if plan.data is None:
        raise ValueError("`plan.data` must be an AmuletDataset, got None")
    architecture = plan.architecture
    for defense in plan.defenses:
        architecture = defense.adapt(architecture)
    recipe = Recipe(
        architecture=architecture,
        num_classes=plan.data.num_classes,
        optimizer=plan.optimizer,
        augmentation=plan.augmentation,
    )
    recipe.try_out(plan.data.train)
    if plan.pretrained is not None:
        plan.pretrained.restored(recipe.changed(architecture=plan.architecture), plan.data.shape)
    if plan.victim is not None and plan.victim.model is not None:
        plan.victim.model(plan.data.train.inputs(slice(0, 2)))
    model = architecture.build(input_shape=plan.data.shape, num_classes=plan.data.num_classes)
    if plan.schedule is not None:
        _tried("schedule", plan.schedule, _tried("optimizer", plan.optimizer, model.parameters()))
    elif _judges_before_weights(plan.optimizer):
        with suppress(_WeightsAskedFor):
            _tried("optimizer", plan.optimizer, _no_weights())
    else:
        _tried("optimizer", plan.optimizer, model.parameters())


def store_folder(config: Mapping[str, Any]) -> Path:
    """The folder of trained models."""
    return Path(config["store"]) if config["store"] else Path(config["output_dir"]) / "models"


def _factory(config: Mapping[str, Any], key: str) -> Factory:
    node = cast(Mapping[str, Any], config[key])
    instantiation.check(node, key, given_later=_GIVEN_LATER[key])
    return Factory.from_mapping(node)


def _augmentation(node: Mapping[str, Any]) -> Factory:
    instantiation.check(node, "augmentation")
    instantiation.build(node, "augmentation")  # refuses wrong settings before any data are read
    return Factory.from_mapping(node)


class _WeightsAskedFor(Exception):
    """An optimizer has accepted its settings."""


def _no_weights() -> Iterator[Tensor]:
    raise _WeightsAskedFor
    yield  # makes it a generator


def _judges_before_weights(factory: Factory) -> bool:
    """Does this optimizer refuse wrong settings before it looks at the weights?

    To register weights, torch imports its compiler: longer than all the rest of a check. Its own optimizers judge their
    numbers before that, but flags that exclude each other after it.
    """
    own = factory.path.startswith("torch.optim.")
    return own and not any(value is True for value in factory.settings.values())


def _tried(key: str, factory: Factory, over: object) -> Any:
    try:
        return factory.build(over)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"`{key}` cannot be built: {error}", where=f"`{key}`: {factory!r}") from error
    except SystemExit as error:
        raise UsageError(f"`{key}` cannot be built: it ends the process", where=f"{factory!r}") from error


def _component(config: Mapping[str, Any], node: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    """A component; of a trial, with the least work."""
    node = {name: value for name, value in node.items() if name != "about"}
    instantiation.check(node, key, keywords_only=True)
    built = instantiation.build(node, key)
    if not isinstance(built, kind):
        raise UsageError(f"`{key}._target_` must be a subclass of amulet's {kind.__name__}, got {node['_target_']}")
    if built.risk not in RISKS:
        raise UsageError(f"`{node['_target_']}.risk` must be one of {', '.join(RISKS)}; got {built.risk!r}")
    return built.for_trial() if config.get("trial") else built


def _given(config: Mapping[str, Any]) -> Pretrained | None:
    if not config["checkpoint"]:
        return None
    found, known = weights(**config["checkpoint"]), config["recipe"] == "given"
    digest, accuracy = config["checkpoint"]["sha256"], config["checkpoint_accuracy"]
    members = config["members"] == "given"
    return Pretrained(found, digest, recipe_known=known, accuracy=accuracy, members_known=members)


def _carrier(config: Mapping[str, Any]) -> Carrier | None:
    """What carries the victim, if `model` is given and no architecture.

    Raises:
        UsageError: nothing can be read there, or it is no file of a kind that is read.
    """
    target = instantiation.load(str(config["model"]["_target_"]), "model")
    if not (isinstance(target, type) and issubclass(target, Carrier)):
        return None
    if config["checkpoint"]:
        raise UsageError("`checkpoint` gives the weights of a network, and `model` is a model already: leave one out")
    instantiation.check(config["model"], "model")
    carrier = cast(Carrier, instantiation.build(config["model"], "model"))
    with _of_the_model(config):
        carrier.check()
    if carrier.architecture is not None:
        instantiation.load(carrier.architecture, "model.architecture")
    return carrier


def is_given(config: Mapping[str, Any]) -> bool:
    """Whether the undefended victim is given, and so is not trained here; no file is read."""
    return bool(config["checkpoint"]) or _carrier(config) is not None


def _victim(carrier: Carrier, config: Mapping[str, Any], data: AmuletDataset | None) -> GivenVictim | None:
    """The victim; None before any data is read, which it has to fit."""
    if data is None:
        return None
    with _of_the_model(config):
        victim = carrier.on(data)
    if config["members"] == "unknown":
        return victim
    if data.answers is not None:
        raise UsageError(
            "`members=given` is about the training records, and a table of predictions names its own",
            expected="dataset.member=COLUMN, which is 1 or 0",
        )
    return replace(victim, members_known=True)


@contextmanager
def _of_the_model(config: Mapping[str, Any]) -> Iterator[None]:
    """Name settings in full in what the library says of them."""
    try:
        yield
    except (SettingError, DataError) as error:
        raise UsageError(instantiation.full_key(str(error), "model", config["model"])) from error


def _early_stopping(node: Mapping[str, Any] | None) -> EarlyStopping | None:
    if node is None:
        return None
    whole = {"_target_": f"{EarlyStopping.__module__}.{EarlyStopping.__qualname__}", **node}
    instantiation.check(whole, "early_stopping")
    return instantiation.build(whole, "early_stopping")


def _metrics(name: str, node: object) -> list[str]:
    """The risk of a metric option, or its own name if it has none; for `every` all its risks."""
    if name == risk_selection.NAME:
        return [UTILITY.name, *risk_selection.among({name: node})]
    if not isinstance(node, Mapping) or "risk" not in node:
        raise SettingError(f"`metric.{name}` must be an option with a `risk`; `amulet list metric` shows them")
    return [cast(Mapping[str, str | None], node)["risk"] or name]


def _attack_settings(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings `metric.<option>.attack` of the attack that measures the option's risk."""
    return risk_selection.attack_settings(metrics) | {
        risk_of(node["risk"]).name: dict(node["attack"])
        for node in metrics.values()
        if node and node.get("risk") and node.get("attack")
    }


def _extra_metrics(metrics: Mapping[str, Any]) -> dict[str, list[ExtraMetric]]:
    """The functions that `metric.<option>.function` names, by the risk of their evidence."""
    found: dict[str, list[ExtraMetric]] = {}
    for name, node in metrics.items():
        if node and node.get("function"):
            if not node.get("risk"):
                raise UsageError(f"`metric.{name}.risk` must name the risk whose evidence the function takes")
            found.setdefault(risk_of(node["risk"]).name, []).append(_checked(name, str(node["function"])))
    return found


def _checked(name: str, path: str) -> ExtraMetric:
    """A user's metric, whose numbers are looked at before they are used: by name, or a `Measurement`."""
    function = instantiation.load(path, f"metric.{name}")

    def wrong(got: str) -> UsageError:
        what = f"`metric.{name}.function` must give numbers by name, {got}"
        return UsageError(what, where=path, expected="a dict of floats, or a Measurement")

    def measure(evidence: Any) -> Mapping[str, float] | Measurement:
        given = function(evidence)
        if isinstance(given, Measurement):
            return given
        if not isinstance(given, Mapping):
            raise wrong(f"got {type(given).__name__}")
        numbers: dict[str, float] = {}
        for key, value in cast(Mapping[Any, Any], given).items():
            try:
                numbers[str(key)] = float(value)
            except (TypeError, ValueError, RuntimeError):  # the last from a tensor of several numbers
                raise wrong(f"got {type(value).__name__} for `{key}`") from None
        return numbers

    return measure
