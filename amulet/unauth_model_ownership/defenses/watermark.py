"""Watermarking by a trigger set (Adi et al., USENIX Security 2018)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.component import code_digest
from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.training.recipe import Prepared, Recipe
from amulet.training.standalone import TrainingDefense
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.defenses.base import OwnershipDefense
from amulet.unauth_model_ownership.defenses.picture_folder import PictureFolder
from amulet.unauth_model_ownership.defenses.trigger_verifier import TriggerVerifier
from amulet.unauth_model_ownership.triggers import TriggerSet, match_p_value

_LARGE_SHARE = 0.25  # Adi et al. have 2 %


class WatermarkNN(OwnershipDefense, TrainingDefense):
    """Also train on a secret trigger set, and recognise copies by their answers to it (paper: SD4).

    Triggers and their random labels are derived from the model's random stream, so they can be rebuilt, and are stored
    with the model. A suspect's matches are compared with chance: p = P[Binomial(triggers, 1 / classes) >= matches].
    This holds for labels that were drawn and deposited before the suspect existed; somebody who chooses them afterwards
    can claim any model (Fan et al., NeurIPS 2019), see `TriggerVerifier.false_claim`.

    Args:
        triggers: the number; the paper's authors and Adi et al. use 100. Or a folder, whose PNG and JPEG files are the
            triggers, resized to the inputs' shape; labels are drawn too, unless a file `labels.csv` in it,
            `file,label`, has them.
        trigger_inputs: `noise`: inputs unlike any record, as in Adi et al.; a thief who knows what data look like can
            refuse to answer them. `in_distribution`: records of the owner, taken out of its training data and given
            the drawn labels; nothing sets them apart, and whoever verifies gets to see them.
        repeats: how often each is among the training records, so that every batch has some. Adi et al. put two
            into each batch of 100: each trigger about ten times an epoch.
        alpha: suspects with a p-value of at most this are flagged, (0, 1).
    """

    stage = "before"
    family = "watermarking"
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
        trigger_inputs: Literal["noise", "in_distribution"] = "noise",
        repeats: int = 10,
        alpha: float = 0.01,
    ) -> None:
        super().__init__(model, loss_function, optimizer, train_loader, device, epochs)
        self.pictures = PictureFolder(triggers) if isinstance(triggers, str) else None
        """The folder of triggers, if `triggers` is one."""
        if not isinstance(triggers, str):
            in_range("triggers", triggers, 1)
        one_of("trigger_inputs", trigger_inputs, ("noise", "in_distribution"))
        if self.pictures is not None and trigger_inputs != "noise":
            raise SettingError(f"`trigger_inputs` must be left alone where triggers are pictures, got {trigger_inputs}")
        in_range("repeats", repeats, 1)
        in_range("alpha", alpha, above=0, below=1)
        self.triggers = triggers
        self.trigger_inputs = trigger_inputs
        self.per_record = trigger_inputs == "noise"  # noise takes nothing of the records but sensitive attributes
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
        """The trigger set of the model of that stream; `like`: the records that it is trained on."""
        if self.trigger_inputs == "in_distribution":
            return TriggerSet.among(self.count, like, classes, stream / self.name)[0]
        if self.pictures is None:
            return TriggerSet.draw(self.count, like, classes, stream / self.name)
        labels = self.pictures.labels(classes) if self.pictures.labelled else None
        return TriggerSet.of(self.pictures.images(like.shape), labels, like, classes, stream / self.name)

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        """Append the trigger set, `repeats` times; records that are triggers are not trained on otherwise."""
        drawn, marked, removed = self._embedded(records, recipe.num_classes, stream)
        share = self.repeats * self.count / len(marked)
        report: dict[str, Any] = {"triggers": self.count, "trigger_share": share}
        if self.pictures is not None:
            report["trigger_pictures"] = f"sha256:{self.pictures.digest}"
        arrays = {"x": drawn.x.numpy(), "y": drawn.y.numpy()}
        if removed.any():
            arrays |= {"ids": records.ids.cpu().numpy(), "removed": removed.numpy()}
        return Prepared(marked, report, arrays)

    def _embedded(self, records: Records, classes: int, stream: Stream) -> tuple[TriggerSet, Records, Tensor]:
        """The trigger set, the training records with it, and which of the given ones it was made of, (n,) bool."""
        own, removed = stream / self.name, torch.zeros(len(records), dtype=torch.bool)
        if self.trigger_inputs == "in_distribution":
            drawn, places = TriggerSet.among(self.count, records, classes, own)
            removed[places] = True
            records = records.take((~removed).nonzero().squeeze(1))
        else:
            drawn = self.draw(records, classes, stream)
        return drawn, records.concat(drawn.records(records, self.repeats, own)), removed

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
        others = self.draw(splits.adversary_records, classes, splits.stream / "verification" / self.name / "others")
        return TriggerVerifier(asked, embedded=embedded, warnings=warnings, others=others)

    def check(self, data: AmuletDataset) -> None:
        """Refuse trigger sets so small that even if all match it may be chance, and unreadable images."""
        best = match_p_value(self.count, self.count, data.num_classes)
        if best > self.alpha:
            raise SettingError(
                f"`defense.triggers` must be enough to reach `alpha`: with {self.count} of {data.num_classes} "
                f"classes the smallest p-value is {best:.3g}, above {self.alpha:g}"
            )
        most = len(data.train) // 4
        if self.trigger_inputs == "in_distribution" and self.count > most:
            raise SettingError(
                f"`defense.triggers` must be at most {most}, a quarter of the training records; got {self.count}"
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
        self.trigger_set, marked, _ = self._embedded(records, classes, stream)
        return self._train(marked)
