"""Dataset inference: a model reveals whose records it was trained on (Maini et al., ICLR 2021)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.models.inspect import predict
from amulet.training.victim import DataSplits, Victim
from amulet.unauth_model_ownership.defenses.base import Judgement, OwnershipDefense, Verifier
from amulet.unauth_model_ownership.defenses.boundary import NORMS, Distances, Stride, blind_walk, min_gd
from amulet.unauth_model_ownership.defenses.confidence import ConfidenceRegressor, embedding, welch_p_value
from amulet.unauth_model_ownership.metrics.fingerprints import Fingerprints

_TABLES, _IMAGES = 10_000, 400  # records of each side by default: models for images are slower and memorise more
_FEW = 200
_GROUPS = ("regressor_private", "regressor_public", "private", "public")


class MembershipVerifier(Verifier):
    """Scores the owner's training records and public ones by a suspect's boundaries, and compares the means.

    The regressor is fitted on the owner's model with records that are not used for the suspects.
    """

    laborious = True

    def __init__(
        self, defense: "DatasetInference", model: nn.Module, private: Records, public: Records, stream: Stream
    ) -> None:
        self.defense, self.stream = defense, stream
        n = defense.size(private, public)
        self.groups = {
            f"{role}{side}": table.take(part)
            for side, table in (("private", private), ("public", public))
            for role, part in zip(
                ("regressor_", ""),
                stratified_split(table.y, [n, n], (stream / side).generator()),
                strict=True,
            )
        }
        self.classes = predict(model, private.take(torch.arange(1))).shape[1]
        found = [self.distances(model, group) for group in _GROUPS[:2]]
        self.regressor = ConfidenceRegressor(*(self.rows(*pair) for pair in zip(found, _GROUPS, strict=False)))
        lost = torch.cat([d.values for d in found]).isnan().double().mean(dim=(0, 2))
        super().__init__(
            {
                "features": defense.features,
                "records": {group: len(table) for group, table in self.groups.items()},
                "unflipped": {norm: round(share, 6) for norm, share in zip(NORMS, lost.tolist(), strict=True)},
            },
            {
                **{f"{group}_ids": table.ids.cpu().numpy() for group, table in self.groups.items()},
                "weights": self.regressor.weights.numpy(),
            },
        )
        self.warnings = tuple(self._warnings_of(n, lost))

    def _warnings_of(self, n: int, lost: Tensor) -> list[str]:
        found: list[str] = []
        if n < _FEW:
            found.append(
                f"dataset inference rests on {n} private and {n} public records, too few to tell a model that has "
                "memorised little. Use more data (dataset.limit, adversary_fraction), or raise defense.records"
            )
        walking = self.defense.features == "blind_walk"
        limit = 0.9 if walking else 0.1  # most random directions lead to no other class at any distance
        advice = "Use defense.features=mingd" if walking else f"Raise defense.steps ({self.defense.steps} now)"
        for norm, share in zip(NORMS, lost.tolist(), strict=True):
            if share > limit:
                found.append(
                    f"dataset inference: {share:.0%} of the searches in {norm} did not reach another class, and count "
                    f"as that, not as a distance. {advice}"
                )
        return found

    def distances(self, model: nn.Module, group: str) -> Distances:
        """Distances of the records of one of the four groups."""
        records, defense = self.groups[group], self.defense
        if defense.features == "mingd":
            return min_gd(model, records, defense.stride, self.classes, defense.batch_size)
        stream = self.stream / "walks" / group
        return blind_walk(model, records, defense.stride, defense.walks, stream, defense.batch_size)

    def rows(self, distances: Distances, group: str) -> Tensor:
        """Feature rows of the records of one of the four groups."""
        return embedding(distances, self.groups[group].y.cpu() if self.defense.features == "mingd" else None)

    def shown(self, suspect: nn.Module) -> tuple[Tensor, Tensor]:
        """Feature rows (n, f) of the private and of the public records that verify."""
        private, public = (self.rows(self.distances(suspect, group), group) for group in _GROUPS[2:])
        return private, public

    def judge(self, suspect: nn.Module) -> Judgement:
        """Do the owner's records look more like members than public ones? The score is the difference of the means."""
        return self._judged(*self.shown(suspect))

    def _judged(self, *rows: Tensor) -> Judgement:
        private, public = map(self.regressor, rows)
        return Judgement(welch_p_value(private, public), (private.mean() - public.mean()).item())

    def judge_owner(self, model: nn.Module) -> tuple[Judgement, Fingerprints]:
        """Like `judge`, with the distances, which the owner shows as evidence."""
        rows = self.shown(model)
        tables = [self.groups[group] for group in _GROUPS[2:]]
        logits, labels = torch.cat([predict(model, t) for t in tables]), torch.cat([t.y.cpu() for t in tables])
        fingerprints = Fingerprints(
            member=torch.arange(len(labels)) < len(rows[0]),
            rows=torch.cat(rows),
            scores=self.regressor(torch.cat(rows)),
            answers=torch.cat([logits, one_hot(labels, self.classes)], dim=1).double(),
            losses=cross_entropy(logits.double(), labels, reduction="none"),
            attributes={name: torch.cat([t.attribute(name).cpu() for t in tables]) for name in tables[0].attributes},
        )
        return self._judged(*rows), fingerprints


class DatasetInference(OwnershipDefense):
    """Recognise a copy by the distances of the owner's training records from its decision boundaries (paper: SD3).

    Maini et al., ICLR 2021. A model has learned its training records better than others, and so have models derived
    from it. A regressor learns on the owner's model to distinguish private from public records by their distances to
    its boundaries; a suspect is flagged if its scores for *other* private records exceed those for other public ones
    (Welch's one-sided t-test). It changes no weight.

    The level of the test holds over draws of records, which must be of one population: if public records are harder
    than private ones, every model looks like a copy. Independent models that are judged on the same records are not
    independent trials, so false alarms must be counted over runs with different splits into train and test
    (`dataset.split_seed`): several seeds share one split.

    Args:
        target_model: the owner's model, for `fingerprint()`; the runner gives victims to `verifier` instead.
        suspect_model: the model to judge.
        train_data: the owner's private records: what `target_model` was trained on.
        test_data: public records of the same population on which neither model was trained.
        device: the device to use; the models are moved there.
        features: `mingd`, the paper's, needs the suspect's gradients; `blind_walk` needs its answers.
        records: the number from each side: half for the regressor, half to judge. None: 10,000 for tables and
            400 for images, or as many as both sides have.
        steps: of each search or walk, at most.
        step_size: the change of the inputs in the first step, (0, 1].
        growth: the factor between the lengths of successive steps, 1 or more. Distances are interpolated.
        walks: random walks for each record and norm, with `blind_walk`.
        alpha: suspects with a p-value of at most this are flagged, (0, 1).
        batch_size: the number of searches at once. None: as many as fit into a processor's cache with a small network.
    """

    stage = "after"
    family = "fingerprinting"
    per_record = True

    def __init__(
        self,
        target_model: nn.Module | None = None,
        suspect_model: nn.Module | None = None,
        train_data: DataLoader[Any] | Dataset[Any] | None = None,
        test_data: DataLoader[Any] | Dataset[Any] | None = None,
        device: str | torch.device = "cpu",
        *,
        features: Literal["mingd", "blind_walk"] = "mingd",
        records: int | None = None,
        steps: int = 16,
        step_size: float = 0.001,
        growth: float = 1.5,
        walks: int = 10,
        alpha: float = 0.01,
        batch_size: int | None = None,
    ) -> None:
        one_of("features", features, ("mingd", "blind_walk"))
        in_range("records", records, 4, optional=True)
        in_range("steps", steps, 1)
        in_range("step_size", step_size, above=0, high=1)
        in_range("growth", growth, 1)
        in_range("walks", walks, 1)
        in_range("alpha", alpha, above=0, below=1)
        in_range("batch_size", batch_size, 1, optional=True)
        self.target_model, self.suspect_model = target_model, suspect_model
        self.train_data, self.test_data = train_data, test_data
        self.device = device
        self.features: Literal["mingd", "blind_walk"] = features
        self.records = records
        self.steps = steps
        self.step_size = step_size
        self.growth = growth
        self.walks = walks
        self.alpha = alpha
        self.batch_size = batch_size
        self.verification: MembershipVerifier | None = None
        """The verifier of the last `fingerprint()`."""

    @property
    def stride(self) -> Stride:
        """The steps of searches and walks."""
        return Stride(self.step_size, self.growth, self.steps)

    def describe(self) -> dict[str, Any]:
        """No setting here changes a model, so models do not depend on the settings."""
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}"}

    def size(self, private: Records, public: Records) -> int:
        """The number of records of each of the four groups: regressor and verification, private and public."""
        wanted = self.records or (_IMAGES if len(private.shape) == 3 else _TABLES)
        n = min(wanted, len(private), len(public)) // 2
        if n < 2:
            raise SettingError(
                f"dataset inference needs 4 private and 4 public records, got {len(private)} and {len(public)}"
            )
        return n

    def check(self, data: AmuletDataset) -> None:
        """Refuse data that cannot be split into four groups."""
        self.size(data.train, data.test)

    def verifier(self, owner: Victim, splits: DataSplits) -> MembershipVerifier:
        """Learn what distinguishes the owner's training records from the test split; made-up records are left out."""
        private = owner.records.take(owner.records.ids >= 0)
        stream = splits.stream / "verification" / self.name
        found = MembershipVerifier(self, owner.model, private, splits.test_records, stream)
        found.warnings = tuple(f"{owner.name}: {warning}" for warning in found.warnings)
        return found

    def fingerprint(self) -> Judgement:
        """Was `suspect_model` derived from `target_model`, or from its training records?"""
        if self.target_model is None or self.suspect_model is None or self.train_data is None or self.test_data is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with the owner's model, a suspect, and private and public "
                "records to run `fingerprint()`"
            )
        private, public = Records.from_loader(self.train_data), Records.from_loader(self.test_data)
        owner, suspect = self.target_model.to(self.device), self.suspect_model.to(self.device)
        self.verification = MembershipVerifier(self, owner, private, public, Stream(0) / "verification" / self.name)
        return self.verification.judge(suspect)
