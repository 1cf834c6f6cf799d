"""Metrics of membership inference: AUC, balanced accuracy, true positive rate at low false positive rates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.influence import of_auc
from amulet.core.ranking import auc, auc_interval
from amulet.membership_inference.metrics.audit import Audit, least_epsilon
from amulet.membership_inference.metrics.guarantee import by_substitution, largest_auc, largest_tpr
from amulet.membership_inference.metrics.roc import balanced_accuracy, hits_at_fpr, resolving, tpr_interval

RATES = {"tpr_at_1pct_fpr": 0.01, "tpr_at_0.1pct_fpr": 0.001}
"""False positive rates at which the true positive rate is reported."""
STRONGEST = "strongest"
"""What the numbers of the deciding score are called, whichever it is, where there are several."""
METRICS = metrics_of(
    "membership_inference",
    Metric("auc", "AUC of telling members from others", "higher", decides=True),
    Metric("balanced_accuracy", "members and others told apart at the best threshold", "higher"),
    Metric("tpr_at_1pct_fpr", "members found at 1 false alarm in 100 others", "higher"),
    Metric("tpr_at_0.1pct_fpr", "members found at 1 false alarm in 1,000 others", "higher"),
    Metric("group_auc", "AUC of telling members from others within a group", "higher"),
    Metric("auc_over_targets", "mean AUC against the shadow models, each attacked with the others", "higher"),
    Metric("epsilon", "what differential privacy guarantees", "higher", unit="nats"),
    Metric(
        "epsilon_lower_bound",
        "what an audit proves that epsilon is at least",
        "higher",
        unit="nats",
        range=(0, math.inf),
    ),
    Metric("auc_bound", "the largest AUC that the guarantee allows"),
    *(Metric(f"{name}_bound", f"the most members found at {rate:.1%} that it allows") for name, rate in RATES.items()),
)
_FEW = 30  # members and others of a group below which its AUC is mostly chance
_BUG = 1e-6  # a bound that is broken with less chance than this is a bug in Amulet
_BUG_ERRORS = 4.753424  # standard errors that leave as much in a tail


@dataclass(frozen=True, kw_only=True)
class MembershipEvidence(Evidence):
    """An attack's scores for n candidates, and the truth."""

    victim: str
    """The name of the victim."""
    ids: np.ndarray
    """(n,) record ids."""
    members: np.ndarray
    """(n,) bool: was the record given to the victim's recipe?"""
    retained: np.ndarray | None = None
    """(n,) bool: members that no defence removed before training; None if none was removed."""
    correct: np.ndarray
    """(n,) bool: does the attacked model classify the record correctly?"""
    groups: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """(n,) bool by sensitive attribute and value: `race.Black`."""
    scores: Mapping[str, np.ndarray]
    """(n,) each: the higher, the more likely a member."""
    deciding: str = ""
    """The score that decides the risk, chosen without the attacked model's answers; empty: the first."""
    target_aucs: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """(shadows,) each: the AUC of a score against every shadow model, attacked with the others."""
    whole_split: bool = False
    """Whether the candidates are the whole training split, which is the same for every seed."""
    target_signals: np.ndarray
    """(n,) signals of the attacked model."""
    shadow_signals: np.ndarray
    """(shadows, n) signals of the shadow models."""
    shadow_members: np.ndarray
    """(shadows, n) bool: was the shadow model trained on the record?"""
    exposed: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """The most exposed members, see `most_exposed`."""
    epsilon: float | None = None
    """The epsilon of the attacked model; NaN: no guarantee, although one was requested."""
    delta: float = 0.0
    """The probability that `epsilon` fails."""
    audit: Audit | None = None
    """What guesses about canaries found of the same recipe."""


def most_exposed(evidence: MembershipEvidence, count: int = 100) -> dict[str, np.ndarray]:
    """The members with the highest deciding score: `ids`, `scores`, and `false_alarms`, (count,) each, highest first.

    `false_alarms` is the share of non-members that score as high or higher, in [0, 1]: what an adversary who names this
    record has to bear.
    """
    score = evidence.scores[evidence.deciding or next(iter(evidence.scores))]
    place = np.flatnonzero(evidence.members)
    place = place[np.argsort(-score[place], kind="stable")][:count]
    others = np.sort(score[~evidence.members])
    below = np.searchsorted(others, score[place], side="left")
    alarms = (len(others) - below) / max(len(others), 1)
    return {"ids": evidence.ids[place], "scores": score[place], "false_alarms": alarms}


def train_test_gap(evidence: MembershipEvidence) -> float:
    """Accuracy of the attacked model on its members minus that on the others, [-1, 1]."""
    members, correct = evidence.members, evidence.correct
    return float(correct[members].mean() - correct[~members].mean())


def measure(evidence: MembershipEvidence) -> Measurement:
    """Four metrics for each score, higher is worse for the victim; with `retained`, again for the retained members.

    The deciding score is there again as `strongest`, and its AUC within each group of a sensitive attribute. The
    baseline of each metric is a random classifier; that of the balanced accuracy is the better of this and the gap
    attack, which calls a record a member if it is classified correctly: (1 + gap) / 2 (Yeom et al., CSF 2018). A model
    trained with differential privacy also has its `epsilon`, and what it allows.

    Raises:
        RuntimeError: an attack found more than differential privacy allows; there is a bug.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    gap = train_test_gap(evidence)
    measured.baselines["train_test_gap"] = gap
    blind = {"auc": 0.5, "balanced_accuracy": max(0.5, (1 + gap) / 2), **RATES}
    views = {"": np.ones_like(evidence.members)}
    if evidence.retained is not None:
        views["retained"] = evidence.retained | ~evidence.members
    deciding = evidence.deciding or next(iter(evidence.scores), "")
    named = {STRONGEST: evidence.scores[deciding], **evidence.scores} if evidence.scores else {}
    for name, score in named.items():
        for view, chosen in views.items():
            about = {"score": name, **({"members": view} if view else {})}
            decides = name == next(iter(named)) and not view
            ids = evidence.ids[chosen] if decides and evidence.whole_split else None
            _measure(measured, about, evidence.members[chosen], score[chosen], blind, decides=decides, ids=ids)
    if named:
        _by_group(measured, evidence, named[STRONGEST])
    for name, aucs in evidence.target_aucs.items():
        mean, interval = float(aucs.mean()), _over_pairs(aucs)
        measured.record(METRICS["auc_over_targets"], mean, {"score": name}, interval=interval, baseline=0.5)
    if evidence.epsilon is not None:
        measured.record(METRICS["epsilon"], evidence.epsilon)
        if math.isfinite(evidence.epsilon):
            _hold_to_guarantee(measured, evidence)
    if evidence.audit is not None:
        _audited(measured, evidence, evidence.audit)
    _warn(measured, evidence, deciding)
    return measured


def _measure(
    measured: Measurement,
    about: Mapping[str, str],
    members: np.ndarray,
    score: np.ndarray,
    blind: Mapping[str, float],
    *,
    decides: bool,
    ids: np.ndarray | None,
) -> None:
    area = METRICS["auc"]
    if not 0 < int(members.sum()) < len(members):
        for name in ("auc", "balanced_accuracy", *RATES):
            decides_here = decides and name == "auc"
            measured.record(METRICS[name], float("nan"), about, baseline=blind[name], decides=decides_here)
        measured.warnings.append(
            f"{'.'.join(about.values())}: there are no records on one side, so nothing can be told apart"
        )
        return
    measured.record(
        area,
        auc(members, score),
        about,
        interval=auc_interval(members, score),
        baseline=blind["auc"],
        influence=None if ids is None else of_auc(ids, score, members),
        decides=decides,
    )
    best = balanced_accuracy(members, score)
    measured.record(METRICS["balanced_accuracy"], best, about, baseline=blind["balanced_accuracy"])
    for name, rate in RATES.items():
        hits = hits_at_fpr(members, score, rate)
        value = float("nan") if hits is None else hits / int(members.sum())
        interval = tpr_interval(members, score, rate)
        measured.record(METRICS[name], value, about, interval=interval, baseline=blind[name])


def _by_group(measured: Measurement, evidence: MembershipEvidence, score: np.ndarray) -> None:
    """The AUC among the records of each group that has enough on both sides."""
    for name, chosen in evidence.groups.items():
        attribute, _, value = name.partition(".")
        members = evidence.members[chosen]
        if min(int(members.sum()), int((~members).sum())) >= _FEW:
            measured.record(
                METRICS["group_auc"],
                auc(members, score[chosen]),
                {"attribute": attribute, "group": value},
                interval=auc_interval(members, score[chosen]),
                baseline=0.5,
            )


def _over_pairs(aucs: np.ndarray) -> tuple[float, float]:
    """Student's interval of the mean over pairs of shadow models, whose halves of the pool are complementary."""
    from scipy.special import stdtrit

    pairs = aucs.reshape(-1, 2).mean(axis=1)
    half = float(stdtrit(len(pairs) - 1, 0.975) * pairs.std(ddof=1) / math.sqrt(len(pairs)))
    return max(0.0, float(pairs.mean()) - half), min(1.0, float(pairs.mean()) + half)


def _hold_to_guarantee(measured: Measurement, evidence: MembershipEvidence) -> None:
    """Record what the guarantee allows any attack, and compare every score with it."""
    assert evidence.epsilon is not None
    epsilon, delta = by_substitution(evidence.epsilon, evidence.delta)
    allowed = {"auc": largest_auc(epsilon, delta)}
    allowed |= {name: largest_tpr(epsilon, delta, rate) for name, rate in RATES.items()}
    for name, bound in allowed.items():
        measured.record(METRICS[f"{name}_bound"], bound)
    for score, values in evidence.scores.items():
        for name, bound in allowed.items():
            metric = f"{score}.{name}"
            if metric not in measured.intervals or measured.intervals[metric][0] <= bound:
                continue
            value, low = measured.metrics[metric], measured.intervals[metric][0]
            surely = value - (value - low) * _BUG_ERRORS / 1.959964
            if name in RATES:
                found = tpr_interval(evidence.members, values, RATES[name], 1 - 2 * _BUG)
                surely = found[0] if found else 0.0
            text = (
                f"{evidence.victim}: {metric} is {value:.4f}, at least {low:.4f} by its 95 % interval, and "
                f"differential privacy with epsilon {evidence.epsilon:.3g} allows {bound:.4f}"
            )
            if surely > bound:
                raise RuntimeError(
                    f"{text}. Chance would do this less than once in a million runs: the training, its accounting or "
                    "the attack has a bug; please report it, and do not use this epsilon"
                )
            measured.warnings.append(
                f"{text}. By chance that happens in one of forty comparisons; repeat it with other seeds before you "
                "rely on this epsilon"
            )


def _audited(measured: Measurement, evidence: MembershipEvidence, audit: Audit) -> None:
    """Record the lower bound on epsilon, and compare it with what is promised."""
    bound = least_epsilon(audit)
    measured.record(METRICS["epsilon_lower_bound"], bound)
    promised = evidence.epsilon
    if promised is None or not math.isfinite(promised) or bound <= promised:
        return
    text = (
        f"{evidence.victim}: {audit.right} of {audit.guesses} guesses about canaries are right, which proves an "
        f"epsilon of at least {bound:.3g} with 95 % confidence, and {promised:.3g} is promised"
    )
    if least_epsilon(audit, 1 - _BUG) > promised:
        raise RuntimeError(
            f"{text}. Chance would do this less than once in a million runs: the training or its accounting has a bug; "
            "please report it, and do not use this epsilon"
        )
    measured.warnings.append(
        f"{text}. By chance that happens in at most one of twenty audits; repeat it with other seeds before you rely "
        "on this epsilon"
    )


def _warn(measured: Measurement, evidence: MembershipEvidence, deciding: str) -> None:
    others = int((~evidence.members).sum())
    for name, rate in RATES.items():
        if others < resolving(rate):
            measured.warnings.append(
                f"{evidence.victim}: {name} is left out: {others} non-members cannot resolve it, it needs at least "
                f"{resolving(rate)}. Raise attack.pool_size (or attack.canaries) or take a larger data set"
            )
    low, high = measured.intervals.get(f"{deciding}.auc", (1.0, 1.0))
    if low <= 0.5 and evidence.victim != "defended":
        measured.warnings.append(
            f"{evidence.victim}: no score tells members from others: {deciding}, the strongest, has an AUC of "
            f"{low:.3f} to {high:.3f} (95 % interval), and chance is 0.5. No defence can be shown to lower what is not "
            "there: train longer or on fewer records, so that the model without a defence memorises some"
        )
