"""Recipes: how a model is made from data, with the defences that act in it."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.component import Component, Factory, code_digest
from amulet.core.errors import DataError, SettingError
from amulet.core.stream import Stream
from amulet.core.version import __version__
from amulet.datasets.records import Records
from amulet.models.arithmetic import fast_dtype
from amulet.training.augmentation import Augmenter, described
from amulet.training.base_recipe import BaseRecipe, Trained
from amulet.training.hook import Hook
from amulet.training.loop import LOOP_STREAMS, train
from amulet.training.parallel.many import produce_many
from amulet.training.store import Stored

DefenseStage = Literal["before", "in", "after"]
_CODE = (
    "amulet.training.loop",
    "amulet.training.hook",
    "amulet.training.objective",
    "amulet.training.recipe",
    "amulet.training.device_data",
    "amulet.models.arithmetic",
)


@dataclass(frozen=True)
class Prepared:
    """What a defence made of the training records before training."""

    records: Records
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it did, JSON: counts, thresholds. `warnings`, a list, are shown to the user."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """What it decided record by record, with the ids the decisions belong to; if it removes records, `ids` and a bool
    array `removed`, see `amulet.training.removal`."""


class RecipeStep(Component):
    """A change to how models are made at one stage: what a recipe knows of a defence. Derive from `Defense`."""

    stage: ClassVar[DefenseStage]
    per_record: bool = False
    """Does it treat each training record by itself? True promises that a record changes nothing of what `prepare` or
    the hook does to another one, and that the hook neither learns nor chooses by the records. A guarantee that counts
    the influence of single records (DP-SGD's epsilon) holds beside such defences alone."""

    @property
    def name(self) -> str:
        """The defence's stream below the model's, and its entry in reports: the class name in lower case.

        Where the training has a stream of that name itself, `defense.` is in front, as in `defense.noise`.
        """
        name = type(self).__name__.lower()
        return f"defense.{name}" if name in LOOP_STREAMS else name

    def prepare(self, records: Records, recipe: "Recipe", stream: Stream) -> Prepared:
        """Change the training records.

        Args:
            records: what the victim would train on, as the defences before this one left them.
            recipe: the recipe without any defence, for a model to decide by: those before this one have acted on the
                records already, and would act twice.
            stream: the model's own stream, so that such a model is the undefended one with the same weights.
        """
        return Prepared(records)

    def hook(self) -> Hook | None:
        """A fresh hook for one training."""
        return None

    def tune(self, optimizer: Factory) -> Factory:
        """The optimizer that this defence trains well with; the undefended victim keeps its own."""
        return optimizer


@dataclass(frozen=True, kw_only=True)
class Recipe(BaseRecipe):
    """Everything that makes a model out of records, but the records and the random stream.

    All models are made here: target, stolen, shadow and population models, models trained again after a defence.
    """

    defenses: tuple[RecipeStep, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [defense.name for defense in self.defenses]
        for name in names:
            if name in LOOP_STREAMS or names.count(name) > 1:
                raise SettingError(
                    f"`defenses` must have names of their own, which are their random streams; got {', '.join(names)}"
                )

    def plain(self) -> "Recipe":
        """The same without any defence."""
        return self.changed(defenses=())

    @property
    def training_defenses(self) -> tuple[RecipeStep, ...]:
        """The defences that shape the model: all but those that come after training, which change nothing of it."""
        return tuple(defense for defense in self.defenses if defense.stage != "after")

    @property
    def is_defended(self) -> bool:
        """Does a defence change the training?"""
        return bool(self.training_defenses)

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
        """As `fit_many`, with the training reports. Models that the store has are loaded one by one."""
        return produce_many(self, records, [Stream.of(s) for s in streams], label)

    def key(self, records: Records, stream: Stream) -> str:
        """A hash of everything that determines the trained model."""
        parts = {
            "amulet": __version__,
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
            "min_updates": self.min_updates,
            "objective": self.objective,
            "defenses": [defense.describe() for defense in self.training_defenses],
            "early_stopping": self.early_stopping and dataclasses.asdict(self.early_stopping),
            "precision": self.precision,
            "code": [code_digest(module) for module in _CODE],
        }

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
                f"`model`: {self.architecture.path} does not fit inputs of shape {records.shape}: "
                f"{type(error).__name__}: {error}"
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
            min_updates=self.min_updates,
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
