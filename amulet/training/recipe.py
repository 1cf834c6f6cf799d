"""Recipes: how a model is made from data, with the defences that act in it."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import amulet
from amulet.core.component import Factory, code_digest
from amulet.core.errors import DataError, SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.arithmetic import fast_dtype
from amulet.training.augmentation import Augmenter, described
from amulet.training.defense import Defense
from amulet.training.loop import PRECISIONS, EarlyStopping, Precision, train
from amulet.training.objective import OBJECTIVES
from amulet.training.runtime import Runtime
from amulet.training.store import Stored

_CODE = (
    "amulet.training.loop",
    "amulet.training.hook",
    "amulet.training.objective",
    "amulet.training.recipe",
    "amulet.training.device_data",
    "amulet.models.arithmetic",
)


@dataclass(frozen=True)
class Trained:
    """A model in eval mode, and how its training went."""

    model: nn.Module
    report: dict[str, Any]
    """Losses, epochs, what each defence reported: JSON."""
    arrays: dict[str, np.ndarray]
    """The defences' decisions for each record, as `<defence>.<name>`."""
    key: str
    loaded: bool
    """Was it in the store?"""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines a model, except the records and the random stream.

    All models are made here: target, stolen, shadow and population models, models trained again after a defence.
    """

    architecture: Factory
    """Called with `input_shape` and `num_classes`, if its signature has them."""
    num_classes: int
    optimizer: Factory
    schedule: Factory | None = None
    epochs: int = 30
    batch_size: int = 256
    objective: str = "cross_entropy"
    augmentation: tuple[Factory, ...] = ()
    """Random changes of training images, one after the other; see `amulet.training.augmentation`."""
    defenses: tuple[Defense, ...] = ()
    early_stopping: EarlyStopping | None = None
    precision: Precision = "auto"
    runtime: Runtime = field(default_factory=Runtime, compare=False, repr=False)

    def __post_init__(self) -> None:
        in_range("epochs", self.epochs, 1)
        in_range("batch_size", self.batch_size, 1)
        one_of("objective", self.objective, OBJECTIVES)
        one_of("precision", self.precision, PRECISIONS)

    def changed(self, **changes: Any) -> "Recipe":
        """A copy with some parts changed."""
        return dataclasses.replace(self, **changes)

    def plain(self) -> "Recipe":
        """The same without any defence."""
        return self.changed(defenses=())

    @property
    def training_defenses(self) -> tuple[Defense, ...]:
        """The defences that change the model: all except those of stage `after`."""
        return tuple(defense for defense in self.defenses if defense.stage != "after")

    def fit(self, records: Records, stream: Stream | int, label: str = "model") -> nn.Module:
        """One trained model, in eval mode."""
        return self.produce(records, stream, label).model

    def fit_many(
        self, records: Sequence[Records], streams: Sequence[Stream | int], label: str = "models"
    ) -> list[nn.Module]:
        """One model for each pair of records and stream, trained in parallel as far as the machine allows."""
        return [trained.model for trained in self.produce_many(records, streams, label)]

    def produce(self, records: Records, stream: Stream | int, label: str = "model") -> Trained:
        """Like `fit`, with the training report. Loaded from the store if the same model was made before."""
        stream = Stream.of(stream)
        key = self.key(records, stream)
        stored, loaded = self.make(records, stream, key, label)
        if loaded:
            self.runtime.reporter.note(f"{label}: loaded, the same model was trained before ({key[:8]})")
        return self.restore(stored, records.shape, key, loaded=loaded)

    def produce_many(
        self, records: Sequence[Records], streams: Sequence[Stream | int], label: str = "models"
    ) -> list[Trained]:
        """Like `fit_many`, with the training reports. Models that the store has are loaded one by one."""
        from amulet.training.parallel.many import produce_many

        return produce_many(self, records, [Stream.of(s) for s in streams], label)

    def key(self, records: Records, stream: Stream) -> str:
        """A hash of everything that determines the trained model."""
        parts = {
            "amulet": amulet.__version__,
            "torch": torch.__version__.split("+")[0],
            "device": self.runtime.device.type,
            "arithmetic": str(fast_dtype(self.runtime.device)),  # what `auto` means on this machine
            "recipe": self.describe(),
            "records": records.digest,
            "stream": [stream.root, *stream.path],
        }
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """The parts of the recipe, as JSON."""
        augmentation = {"augmentation": described(self.augmentation)} if self.augmentation else {}
        return augmentation | {
            "architecture": self.architecture.describe(),
            "num_classes": self.num_classes,
            "optimizer": self.optimizer.describe(),
            "schedule": self.schedule and self.schedule.describe(),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "objective": self.objective,
            "defenses": [defense.describe() for defense in self.training_defenses],
            "early_stopping": self.early_stopping and dataclasses.asdict(self.early_stopping),
            "precision": self.precision,
            "code": [code_digest(module) for module in _CODE],
        }

    def build(self, shape: tuple[int, ...], stream: Stream) -> nn.Module:
        """The model with its initial weights, on the CPU."""
        with (stream / "weights").seed_global():
            model = self.architecture.build(input_shape=shape, num_classes=self.num_classes)
        if not isinstance(model, nn.Module):
            raise SettingError(f"`model`: {self.architecture.path} must make a torch.nn.Module, got {type(model)}")
        return model

    def try_out(self, records: Records) -> None:
        """Run two records through fresh weights; `SettingError` if the model does not fit them."""
        try:
            model = self.build(records.shape, Stream(0)).eval()
            with torch.inference_mode():
                logits = model(records.inputs(slice(0, 2)))
            with Stream(0).seed_global():
                Augmenter(self.augmentation, Stream(0).generator()).check(records)
        except SettingError:
            raise
        except Exception as error:  # a user's module may fail in any way
            raise SettingError(
                f"`model`: {self.architecture.path} does not fit inputs of shape {records.shape}: {error}"
            ) from error
        wanted = (min(2, len(records)), self.num_classes)
        if not isinstance(logits, Tensor) or logits.shape != wanted:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise SettingError(f"`model`: {self.architecture.path} must return logits of shape {wanted}, got {got}")

    def make(self, records: Records, stream: Stream, key: str, label: str = "model") -> tuple[Stored, bool]:
        """The model that the store has under `key`, or else a newly trained one; and whether it was in the store."""
        store = self.runtime.store
        with store.lock(key):
            stored = store.load(key)
            if stored is not None:
                return stored, True
            stored = self._train(records, stream, label)
            store.save(key, stored)
        return stored, False

    def restore(self, stored: Stored, shape: tuple[int, ...], key: str, *, loaded: bool) -> Trained:
        """The stored model, in eval mode on the runtime's device."""
        model = self.build(shape, Stream(0))
        weights = {name[6:]: value for name, value in stored.tensors.items() if name.startswith("model.")}
        model.load_state_dict(weights)
        arrays = {name[7:]: value.numpy() for name, value in stored.tensors.items() if name.startswith("report.")}
        return Trained(model.to(self.runtime.device).eval(), dict(stored.meta), arrays, key, loaded)

    def _train(self, records: Records, stream: Stream, label: str) -> Stored:
        began = time.perf_counter()
        report: dict[str, Any] = {}
        tensors: dict[str, Tensor] = {}
        warnings: list[str] = []
        for defense in self.training_defenses:
            prepared = defense.prepare(records, self.plain(), stream)
            records = prepared.records
            if not len(records):
                raise DataError(f"{label}: {defense!r} leaves no record to train on")
            report |= prepared.report
            warnings += prepared.report.get("warnings", ())
            for name, array in prepared.arrays.items():
                tensors[f"report.{defense.name}.{name}"] = torch.from_numpy(np.ascontiguousarray(array))
        model = self.build(records.shape, stream)
        hooks = [hook for defense in self.training_defenses if (hook := defense.hook()) is not None]
        optimizer = self.optimizer
        for defense in self.training_defenses:
            optimizer = defense.tune(optimizer)
        report |= train(
            model,
            records,
            optimizer=optimizer,
            schedule=self.schedule,
            epochs=self.epochs,
            batch_size=self.batch_size,
            stream=stream,
            objective=self.objective,
            augmentation=self.augmentation,
            hooks=hooks,
            device=self.runtime.device,
            precision=self.precision,
            early_stopping=self.early_stopping,
            side_channels=[type(d).__name__ for d in self.training_defenses if not d.per_record],
            reporter=self.runtime.reporter,
            label=label,
        )
        report["warnings"] = [*warnings, *report["warnings"]]
        report["seconds"] = time.perf_counter() - began
        for name, value in model.state_dict().items():
            tensors[f"model.{name}"] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return Stored(tensors, report)
