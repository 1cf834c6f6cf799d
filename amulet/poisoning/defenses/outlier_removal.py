"""Outlier removal: training without the records that reduce the accuracy of a kNN classifier."""

from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.component import code_digest
from amulet.core.errors import DataError, SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.models.inspect import features
from amulet.poisoning.defenses.shapley import knn_shapley
from amulet.training.recipe import Prepared, Recipe
from amulet.training.standalone import TrainingDefense

_CAUTIONS = {
    "test": (
        "outlier removal valued the training records by the test split (defense.reference=test, the paper's choice): "
        "what is then measured on the test split has leaked into training. Use defense.reference=cross_fitted"
    ),
    "trusted": (
        "outlier removal valued the training records by clean versions of them (defense.reference=trusted): an oracle "
        "that no defender has. Read the result as a bound, or use defense.reference=cross_fitted"
    ),
}


class OutlierRemoval(TrainingDefense):
    """Value the training records by kNN-Shapley, remove a share of them, train on the rest (paper: SD2).

    In direct use (`train_robust`) the records are valued with the features of the model passed to the constructor,
    which must already be trained; it is then trained again, from fresh weights.

    Args:
        test_loader: the reference in direct use: test records, or for `trusted` the clean records, which have
            the ids of the training records.
        percent: how many per cent of the records are removed, (0, 100); the number is exact.
        k: neighbours of the kNN classifier.
        remove: the `lowest` values (outliers, mislabelled records), or the `highest`, as the paper's text says.
        features: what distances are measured between: the input of the last layer (`penultimate`) of a model trained on
            the same records without the defence, or the inputs.
        reference: what the records are valued with: `cross_fitted`: each half, stratified by label, with the other one;
            `test`: the test split, as in the paper's code, which leaks it into training; `trusted`: like
            `cross_fitted`, by clean versions of the records, whatever an adversary did to them: an oracle.
    """

    risk = "poisoning"
    family = "outlier removal"
    stage = "before"

    def __init__(
        self,
        model: nn.Module | None = None,
        loss_function: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        train_loader: DataLoader[Any] | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        epochs: int = 1,
        *,
        percent: float = 10.0,
        k: int = 5,
        remove: Literal["lowest", "highest"] = "lowest",
        features: Literal["penultimate", "input"] = "penultimate",
        reference: Literal["cross_fitted", "test", "trusted"] = "cross_fitted",
    ) -> None:
        super().__init__(model, loss_function, optimizer, train_loader, device, epochs)
        in_range("percent", percent, above=0, below=100)
        in_range("k", k, 1)
        one_of("remove", remove, ("lowest", "highest"))
        one_of("features", features, ("penultimate", "input"))
        one_of("reference", reference, ("cross_fitted", "test", "trusted"))
        self.percent = percent
        self.k = k
        self.remove = remove
        self.features = features
        self.reference = reference
        self.reference_records = None if test_loader is None else Records.from_loader(test_loader)
        """The reference records of `test` and `trusted`."""

    def bound(self, data: AmuletDataset) -> Self:
        """A copy that has the records that `reference` asks for: the test split, or all clean training records."""
        if self.reference == "cross_fitted":
            return self
        copy = self.changed()
        copy.reference_records = data.test if self.reference == "test" else data.train
        return copy

    def warnings(self) -> list[str]:
        """Warnings for results that depend on records that no defender has."""
        return [_CAUTIONS[self.reference]] if self.reference in _CAUTIONS else []

    def describe(self) -> dict[str, Any]:
        """As for every component, with the reference records and the code of the valuation."""
        table = self.reference_records if self.reference != "cross_fitted" else None
        return {
            **super().describe(),
            "reference_records": table and table.digest,
            "valuation": code_digest(knn_shapley.__module__),
        }

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        """The records that are kept; `report` has the counts, `arrays` each record's value and fate."""
        if self.features == "input":
            return self._select(records, None, stream / self.name)
        model = recipe.fit(records, stream, "features for outlier removal")
        return self._select(records, model, stream / self.name)

    def train_robust(self) -> nn.Module:
        """Remove records, then train the model that was given, in place, from fresh weights; returned in eval mode."""
        if self.model is None or self.optimizer is None or self.train_loader is None:
            raise SettingError(
                "`OutlierRemoval` must be built with a model, a loss, an optimizer and a loader to be run"
            )
        records = Records.from_loader(self.train_loader)
        self.model.to(self.device)
        stream = Stream(0) / "by hand"
        prepared = self._select(records, self.model, stream / self.name)
        with (stream / "weights").seed_global(self.device):
            _start_anew(self.model)
        self.optimizer.state.clear()
        model = self._train(prepared.records)
        self.report |= {**prepared.report, "warnings": [*prepared.report["warnings"], *self.report["warnings"]]}
        return model

    def _select(self, records: Records, model: nn.Module | None, stream: Stream) -> Prepared:
        n = len(records)
        count = round(self.percent / 100 * n)
        if not 0 < count < n:
            raise DataError(
                f"`percent` must remove some of {n} records and not all, got {self.percent} ({count} records)"
            )
        values = self._values(records, model, stream / "folds")
        rank = values if self.remove == "lowest" else -values
        order = np.lexsort(((stream / "ties").numpy().permutation(n), rank))
        removed = np.zeros(n, dtype=bool)
        removed[order[:count]] = True
        kept = records.take(torch.from_numpy(~removed))
        classes = int(records.y.max()) + 1
        report: dict[str, Any] = {
            "records": n,
            "removed": count,
            "kept": n - count,
            "classes_before": records.y.bincount(minlength=classes).tolist(),
            "classes_after": kept.y.bincount(minlength=classes).tolist(),
            "threshold": float(values[order[count - 1]]),
            "reference": self.reference,
        }
        arrays = {"ids": records.ids.cpu().numpy(), "values": values, "removed": removed}
        return Prepared(kept, {"outlier_removal": report, "warnings": _emptied(report)}, arrays)

    def _values(self, records: Records, model: nn.Module | None, stream: Stream) -> NDArray[np.float64]:
        given = self._features(records, model)
        if self.reference == "test":
            table = self._reference_table()
            return knn_shapley(given, records.y, self._features(table, model), table.y, self.k)
        judges, known, labels = given, torch.ones(len(records), dtype=torch.bool), records.y.cpu()
        if self.reference == "trusted":
            table = self._reference_table()
            known, place = _places(records.ids.cpu(), table.ids.cpu())
            clean = table.take(place)
            judges, labels = self._features(clean, model), clean.y.cpu()
        n, values = len(records), np.empty(len(records))
        folds = stratified_split(records.y, [n - n // 2, n // 2], stream.generator())
        for mine, others in (folds, folds[::-1]):
            by = others[known[others]]
            values[mine.numpy()] = knn_shapley(given[mine], records.y[mine], judges[by], labels[by], self.k)
        return values

    def _features(self, records: Records, model: nn.Module | None) -> Tensor:
        if self.features == "input" or model is None:
            return records.x.cpu().flatten(1)  # of images in grey levels, which orders distances the same
        return features(model, records)

    def _reference_table(self) -> Records:
        if self.reference_records is None:
            raise SettingError(f"`test_loader` must be given for reference={self.reference}, got None")
        return self.reference_records


def _emptied(report: dict[str, Any]) -> list[str]:
    """A warning of classes that have no record left."""
    counts = zip(report["classes_before"], report["classes_after"], strict=True)
    gone = [str(label) for label, (before, after) in enumerate(counts) if before and not after]
    text = f"outlier removal left no training record of class {', '.join(gone)}. Lower defense.percent"
    return [text] if gone else []


def _places(ids: Tensor, table_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Which ids are in the table, and where; those that are not point anywhere."""
    order = table_ids.argsort()
    place = order[torch.searchsorted(table_ids[order], ids).clamp_max(len(table_ids) - 1)]
    return table_ids[place] == ids, place


def _start_anew(model: nn.Module) -> None:
    """Fresh weights in place, by each module's own `reset_parameters`; `SettingError` if one has none."""
    for module in model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        elif any(True for _ in module.parameters(recurse=False)):
            raise SettingError(
                f"`model`: {type(module).__name__} has weights but no reset_parameters(), so it cannot start again"
            )
