"""From reconstructions to their metrics, baselines and warnings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from amulet.core.evidence import Evidence, Measurement, pictured
from amulet.core.facts import Metric, metrics_of
from amulet.data_reconstruction.metrics.closeness import comparable, mse, ssim

METRICS = metrics_of(
    "data_reconstruction",
    Metric(
        "mse",
        "mean squared distance of reconstructions to the class means",
        "lower",
        unit="",
        decides=True,
    ),
    Metric("ssim", "structural similarity of reconstructions to the class means", "higher", unit=""),
)
_STILL = 0.01  # root mean square of a change that is none to speak of: 2.5 of 255 grey levels


@dataclass(frozen=True, kw_only=True)
class ReconstructionEvidence(Evidence):
    """Reconstructions of each class, and what they should look like."""

    name: str = "victim"
    """For warnings."""
    image: bool
    """Are inputs images, (channels, height, width)?"""
    reconstructions: Tensor
    """(classes, *shape) in [0, 1]."""
    means: Tensor
    """(classes, *shape): the mean of the victim's training records of each class; NaN where it has none."""
    counts: Tensor
    """(classes,) int64: the number of records of each mean."""
    mean: Tensor
    """(*shape): the mean of all of the victim's training records."""
    start: Tensor
    """(classes, *shape): the starts of the searches."""
    random: Tensor
    """(k, *shape): inputs that are noise, uniform in [0, 1]."""
    first_loss: Tensor
    """(classes,): the loss of each class at `start`."""
    loss: Tensor
    """(classes,): its loss at the reconstruction."""
    moved: Tensor
    """(classes,): root mean square of the change between them."""

    def arrays(self) -> dict[str, np.ndarray]:
        """As for any evidence; for images, also the class means and the reconstructions as images to show."""
        found = super().arrays()
        if self.image and self.reconstructions.shape[1] in (1, 3):
            found["picture.reconstructions.class mean"] = pictured(self.means)
            found["picture.reconstructions.reconstruction"] = pictured(self.reconstructions)
        return found


def measure(evidence: ReconstructionEvidence) -> Measurement:
    """Distance to the class means, and for images their similarity: overall, the mean over classes, and per class.

    The baseline under a metric's own name is the mean of all the victim's records, which reveals nothing about a class;
    others are a zero input (`zero.mse`), uniform noise (`random.mse`) and the start of the search (`start.mse`).
    """
    measured = Measurement(warnings=list(evidence.warnings))
    present = (evidence.counts > 0).nonzero().squeeze(1)
    names = ["mse", *(["ssim"] if evidence.image and comparable(tuple(evidence.mean.shape)) else [])]
    for name in names:
        closeness = mse if name == "mse" else ssim
        truth = evidence.means[present]
        each = closeness(evidence.reconstructions[present], truth)
        general = closeness(evidence.mean.expand_as(truth), truth)
        metric = METRICS[name]
        measured.record(metric, each.mean().item(), baseline=general.mean().item())
        for place, label in enumerate(present.tolist()):
            _of_class(measured, metric, label, each[place].item(), baseline=general[place].item())
        noise = [closeness(one.expand_as(truth), truth).mean().item() for one in evidence.random]
        measured.baselines[f"random.{name}"] = sum(noise) / len(noise)
        measured.baselines[f"zero.{name}"] = closeness(torch.zeros_like(truth), truth).mean().item()
        measured.baselines[f"start.{name}"] = closeness(evidence.start[present], truth).mean().item()
        for label in (evidence.counts == 0).nonzero().squeeze(1).tolist():
            _of_class(measured, metric, label, math.nan)
    measured.warnings += _warnings_of(evidence, measured)
    return measured


def _of_class(measured: Measurement, metric: Metric, label: int, value: float, baseline: float | None = None) -> None:
    """One class decides nothing."""
    measured.record(metric, value, {"class": str(label)}, prefix=[f"class_{label}"], baseline=baseline, decides=False)


def _warnings_of(evidence: ReconstructionEvidence, measured: Measurement) -> list[str]:
    found: list[str] = []
    name = evidence.name
    if absent := (evidence.counts == 0).nonzero().squeeze(1).tolist():
        found.append(
            f"{name}: no training record has {_classes(absent)}, so there is no mean to compare with; what has "
            "no mean is left out of mse. Use more data (dataset.limit, adversary_fraction)"
        )
    still = (evidence.moved < _STILL).nonzero().squeeze(1).tolist()
    if still:
        found.append(
            f"{name}: the search hardly moved for {_classes(still)} (by less than {_STILL:g} on average): the "
            "reconstruction is where it began, and its mse says nothing about the model. Use attack.update=adam, or "
            "raise attack.step_size or attack.steps"
        )
    worse = (~(evidence.loss < evidence.first_loss)).nonzero().squeeze(1).tolist()
    if worse:
        found.append(
            f"{name}: the search did not lower its loss for {_classes(worse)}: nothing was reconstructed there. Try "
            "attack.start=random, attack.restarts=5 or a smaller attack.step_size"
        )
    value, general, start = (measured.metrics["mse"], *(measured.baselines[n] for n in ("mse", "start.mse")))
    if not value < start:
        found.append(
            f"{name}: mse {value:.4f} is not below that of the neutral inputs where the search began ({start:.4f}): "
            "the search led away from the records. Do not read the number as a reconstruction"
        )
    elif not value < general:
        found.append(
            f"{name}: mse {value:.4f} is not below that of the mean of all training records ({general:.4f}): those "
            "who know what a record looks like on average gain nothing from the model. Do not read the number as a leak"
        )
    return found


def _classes(labels: Sequence[int], shown: int = 10) -> str:
    text = ", ".join(map(str, labels[:shown])) + (", ..." if len(labels) > shown else "")
    return f"class{'es' if len(labels) > 1 else ''} {text}"
