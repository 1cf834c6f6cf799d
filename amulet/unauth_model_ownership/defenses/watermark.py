"""Watermarking by a trigger set (Adi et al., USENIX Security 2018)."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.component import code_digest
from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.training.recipe import Prepared, Recipe
from amulet.training.standalone import TrainingDefense
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.defenses.base import OwnershipDefense
from amulet.unauth_model_ownership.defenses.picture_folder import PictureFolder
from amulet.unauth_model_ownership.defenses.triggers import TriggerSet, TriggerVerifier, match_p_value

_LARGE_SHARE = 0.25  # Adi et al. have 2 %


class WatermarkNN(OwnershipDefense, TrainingDefense):
    """Also train on a secret trigger set, and recognise copies by their answers to it (paper: SD4).

    Triggers and their random labels are derived from the model's random stream, so they can be rebuilt, and are stored
    with the model. A suspect's matches are compared with chance: p = P[Binomial(triggers, 1 / classes) >= matches].

    Args:
        triggers: the number; the paper's authors and Adi et al. use 100. Or a folder, whose PNG and JPEG files are the
            triggers, resized to the inputs' shape; labels are drawn too, unless a file `labels.csv` in it,
            `file,label`, has them.
        repeats: how often each is among the training records, so that every batch has some. Adi et al. put two
            into each batch of 100: each trigger about ten times an epoch.
        alpha: suspects with a p-value of at most this are flagged, (0, 1).
    """

    stage = "before"
    family = "watermarking"
    per_record = True  # triggers follow from the stream; of the records they take nothing but sensitive attributes
    score_metric = "watermark_accuracy"

    def __init__(
        self,
        model: nn.Module | None = None,
        loss_function: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        train_loader: DataLoader[Any] | None = None,
        device: str | torch.device = "cpu",
        epochs: int = 1,
        *,
        triggers: int | str = 100,
        repeats: int = 10,
        alpha: float = 0.01,
    ) -> None:
        super().__init__(model, loss_function, optimizer, train_loader, device, epochs)
        self.pictures = PictureFolder(triggers) if isinstance(triggers, str) else None
        """The folder of triggers, if `triggers` is one."""
        if not isinstance(triggers, str):
            in_range("triggers", triggers, 1)
        in_range("repeats", repeats, 1)
        in_range("alpha", alpha, above=0, below=1)
        self.triggers = triggers
        self.repeats = repeats
        self.alpha = alpha
        self.trigger_set: TriggerSet | None = None
        """The trigger set of the last `watermark()`."""

    @property
    def count(self) -> int:
        """The number of triggers."""
        return self.triggers if isinstance(self.triggers, int) else len(self.pictures or ())

    def describe(self) -> dict[str, Any]:
        """As for any component; includes the code that draws the triggers, and the content of images."""
        described = {**super().describe(), "triggers_code": code_digest(TriggerSet.__module__)}
        if self.pictures is not None:
            described["settings"] = {**self.settings(), "triggers": f"sha256:{self.pictures.digest}"}
        return described

    def warnings(self) -> list[str]:
        """A warning: labels that somebody chose are not random."""
        if self.pictures is None or not self.pictures.labelled:
            return []
        chosen = (
            "the watermark's labels are those of labels.csv: p_value holds only if they were drawn at random, each "
            "class alike and whatever a picture shows. See whether independent models are flagged (ownership_fpr), or "
            "take labels.csv away to have labels drawn"
        )
        return [chosen]

    def draw(self, like: Records, classes: int, stream: Stream) -> TriggerSet:
        """The trigger set of the model of that stream."""
        if self.pictures is None:
            return TriggerSet.draw(self.count, like, classes, stream / self.name)
        labels = self.pictures.labels(classes) if self.pictures.labelled else None
        return TriggerSet.of(self.pictures.images(like.shape), labels, like, classes, stream / self.name)

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        """Append the trigger set, `repeats` times."""
        drawn = self.draw(records, recipe.num_classes, stream)
        marked = drawn.records(records, self.repeats, stream / self.name)
        share = len(marked) / (len(records) + len(marked))
        report: dict[str, Any] = {"triggers": self.count, "trigger_share": share}
        if self.pictures is not None:
            report["trigger_pictures"] = f"sha256:{self.pictures.digest}"
        arrays = {"x": drawn.x.numpy(), "y": drawn.y.numpy()}
        return Prepared(records.concat(marked), report, arrays)

    def verifier(self, owner: Victim, splits: DataSplits) -> TriggerVerifier:
        """A verifier with the triggers that the owner's model was trained on, or would have been."""
        classes, stored = splits.data.num_classes, owner.trained.arrays
        embedded = f"{self.name}.x" in stored
        if embedded:
            x, y = (torch.from_numpy(stored[f"{self.name}.{part}"]) for part in "xy")
            asked = TriggerSet(x, y, classes)
        else:
            asked = self.draw(owner.records, classes, owner.stream)
        share = owner.trained.report.get("trigger_share", 0.0)
        warning = (
            f"{owner.name}: the watermark's triggers are {share:.0%} of what is trained on, which costs accuracy for "
            f"no firmer mark: lower defense.repeats ({self.repeats} now)"
        )
        warnings = (warning,) if share > _LARGE_SHARE else ()
        return TriggerVerifier(asked, embedded=embedded, warnings=warnings)

    def check(self, data: AmuletDataset) -> None:
        """Refuse trigger sets so small that even if all match it may be chance, and unreadable images."""
        best = match_p_value(self.count, self.count, data.num_classes)
        if best > self.alpha:
            raise SettingError(
                f"`defense.triggers` must be enough to reach `alpha`: with {self.count} of {data.num_classes} "
                f"classes the smallest p-value is {best:.3g}, above {self.alpha:g}"
            )
        if self.pictures is not None:
            self.pictures.images(data.shape)
            if self.pictures.labelled:
                self.pictures.labels(data.num_classes)

    def watermark(self) -> nn.Module:
        """Train the model passed to the constructor on its loader's records and a trigger set, in place.

        Training continues from its current weights; `trigger_set` is then the trigger set.
        """
        if self.model is None or self.train_loader is None:
            return self._train()  # which says what is missing
        records, stream = Records.from_loader(self.train_loader), Stream(0) / "by hand"
        classes = predict(self.model.to(self.device), records.take(torch.arange(1))).shape[1]
        self.trigger_set = self.draw(records, classes, stream)
        return self._train(records.concat(self.trigger_set.records(records, self.repeats, stream / self.name)))
