"""From reconstructions to their metrics, baselines and warnings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from amulet.core.evidence import Evidence, Measurement, pictured
from amulet.core.facts import Metric, metrics_of
from amulet.data_reconstruction.metrics.closeness import comparable, mse, ssim
from amulet.data_reconstruction.metrics.recognition import recognition

METRICS = metrics_of(
    "data_reconstruction",
    Metric("recognition", "how surely an independent model recognises the reconstructions", "higher", decides=True),
    Metric("mse", "mean squared distance of reconstructions to the class means", "lower", unit=""),
    Metric("ssim", "structural similarity of reconstructions to the class means", "higher", unit=""),
    Metric("nearest_mse", "mean squared distance to the nearest training record", "lower", unit=""),
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
    judged: Mapping[str, Tensor]
    """(classes, classes): the logits of an independent model for the `reconstructions`, the `start` and the `means`."""
    known: Tensor
    """(classes,) int64: the number of records of each class that this model was trained on."""
    first_loss: Tensor
    """(classes,): the loss of each class at `start`."""
    loss: Tensor
    """(classes,): its loss at the reconstruction."""
    moved: Tensor
    """(classes,): root mean square of the change between them."""
    nearest: Mapping[str, Tensor] | None = None
    """(classes,) mean squared distance of each reconstruction to the nearest of the `victim`'s records, and of as many
    of the `adversary`'s."""

    def arrays(self) -> dict[str, np.ndarray]:
        """As for any evidence; for images, also the class means and the reconstructions as images to show."""
        found = super().arrays()
        if self.image and self.reconstructions.shape[1] in (1, 3):
            found["picture.reconstructions.class mean"] = pictured(self.means)
            found["picture.reconstructions.reconstruction"] = pictured(self.reconstructions)
        return found


def measure(evidence: ReconstructionEvidence) -> Measurement:
    """Recognition, distance to the class means, for images similarity: the mean over classes, and each class.

    Baselines under a metric's own name are those of an input that reveals nothing about a class: 1 / classes for
    recognition, the mean of all the victim's records for the others. Others are a zero input (`zero.mse`), uniform
    noise (`random.mse`), the start of the search (`start.mse`), and for recognition the class means themselves. Where
    the search failed, or is worse than these baselines, a number carries no verdict.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    present = (evidence.counts > 0).nonzero().squeeze(1)
    _recognised(measured, evidence)
    for name in ["mse", *(["ssim"] if evidence.image and comparable(tuple(evidence.mean.shape)) else [])]:
        closeness = mse if name == "mse" else ssim
        truth = evidence.means[present]
        general = closeness(evidence.mean.expand_as(truth), truth)
        noise = [closeness(one.expand_as(truth), truth).mean().item() for one in evidence.random]
        measured.baselines[f"random.{name}"] = sum(noise) / len(noise)
        measured.baselines[f"zero.{name}"] = closeness(torch.zeros_like(truth), truth).mean().item()
        measured.baselines[f"start.{name}"] = closeness(evidence.start[present], truth).mean().item()
        _record(measured, evidence, name, present, closeness(evidence.reconstructions[present], truth), general)
    if evidence.nearest is not None:
        near = {side: each[present].mean().item() for side, each in evidence.nearest.items()}
        measured.record(METRICS["nearest_mse"], near["victim"], baseline=near["adversary"])
    measured.warnings += _warnings_of(evidence, measured)
    return measured


def _recognised(measured: Measurement, evidence: ReconstructionEvidence) -> None:
    """Of the classes that victim and judge have records of."""
    labels = ((evidence.counts > 0) & (evidence.known > 0)).nonzero().squeeze(1)
    each = {name: recognition(logits[labels], labels) for name, logits in evidence.judged.items()}
    for name in ("start", "means"):
        measured.baselines[f"{name}.recognition"] = each[name].mean().item()
    nothing = torch.full_like(each["reconstructions"], 1 / len(evidence.counts))
    _record(measured, evidence, "recognition", labels, each["reconstructions"], nothing)


def _record(
    measured: Measurement, evidence: ReconstructionEvidence, name: str, labels: Tensor, each: Tensor, nothing: Tensor
) -> None:
    """Record a metric of each of some classes, and its mean over them, which alone decides; NaN for other classes.

    Args:
        nothing: what an input has that reveals nothing about each class.
    """
    metric, value, baseline = METRICS[name], each.mean().item(), nothing.mean().item()
    doubt = _doubt(evidence, metric, value, measured.baselines[f"start.{name}"], baseline)
    measured.record(metric, value, baseline=baseline, invalid=doubt)
    numbers = {
        label: (one, base) for label, one, base in zip(labels.tolist(), each.tolist(), nothing.tolist(), strict=True)
    }
    for label in range(len(evidence.counts)):
        one, base = numbers.get(label, (math.nan, None))
        subject = {"class": str(label)}
        measured.record(metric, one, subject, prefix=[f"class_{label}"], baseline=base, decides=False)


def _doubt(evidence: ReconstructionEvidence, metric: Metric, value: float, start: float, nothing: float) -> str:
    """Why a number is no measure of what the model reveals; empty if it may be one."""
    present = evidence.counts > 0
    if not evidence.loss[present].mean() < evidence.first_loss[present].mean():
        return "the search did not lower the loss"
    sign = 1 if metric.harm == "higher" else -1
    if not sign * value >= sign * start:
        return f"the search ended farther from the classes than it began ({metric.name} {start:.4f})"
    if not sign * value >= sign * nothing:
        return f"an input that says nothing about a class does better ({metric.name} {nothing:.4f})"
    return ""


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
            "reconstruction is where it began, and says nothing about the model. Use attack.update=adam, attack.tv=0 "
            "or a larger attack.step_size"
        )
    worse = (~(evidence.loss < evidence.first_loss)).nonzero().squeeze(1).tolist()
    if worse:
        found.append(
            f"{name}: the search did not lower its loss for {_classes(worse)}: nothing was reconstructed there. Try "
            "attack.start=random, attack.restarts=5 or a smaller attack.step_size"
        )
    if unknown := ((evidence.known == 0) & (evidence.counts > 0)).nonzero().squeeze(1).tolist():
        found.append(
            f"{name}: the independent model that judges has no record of {_classes(unknown)}: left out of recognition. "
            "Use more data (dataset.limit, adversary_fraction)"
        )
    seen = measured.baselines["means.recognition"]
    if not seen > 1 / len(evidence.counts) + 0.05:
        found.append(
            f"{name}: the independent model recognises even the class means at {seen:.2f} only, where "
            f"{1 / len(evidence.counts):.2f} is chance: it is no judge of reconstructions. Train longer (epochs) or "
            "raise adversary_fraction"
        )
    if doubt := measured.invalid.get("recognition"):
        found.append(
            f"{name}: recognition {measured.metrics['recognition']:.4f} is no measure of what the model reveals: "
            f"{doubt}. Try attack.start=gray, attack.restarts=5 or another attack.step_size"
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
