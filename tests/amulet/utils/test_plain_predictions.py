"""Metrics of plain predictions against scikit-learn's and fairlearn's."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from amulet.core import SettingError
from amulet.datasets import Records
from amulet.utils import fairness_metrics, get_accuracy, get_fidelity, membership_metrics

RANDOM = np.random.default_rng(0)


def test_membership_metrics_equal_scikit_learns() -> None:
    members = RANDOM.integers(0, 2, 500)
    scores = np.round(RANDOM.normal(size=500) + members, 1)  # with ties
    found = membership_metrics(torch.from_numpy(scores), members.tolist(), fpr=0.05)
    fpr, tpr, thresholds = metrics.roc_curve(members, scores)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(members, scores))
    best = max(metrics.balanced_accuracy_score(members, scores >= threshold) for threshold in thresholds)
    assert found["balanced_accuracy"] == pytest.approx(best)
    assert found["tpr_at_fpr"] == pytest.approx(tpr[fpr <= 0.05].max())


def test_fairness_metrics_equal_fairlearns() -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics")
    labels, answers, groups = RANDOM.integers(0, 2, (3, 400))
    groups = groups * 5 - 2  # any numbers
    given = {"y_true": labels, "y_pred": answers, "sensitive_features": groups}
    found = fairness_metrics(answers, torch.from_numpy(labels), groups)
    assert found["demographic_parity_difference"] == pytest.approx(fairlearn.demographic_parity_difference(**given))
    assert found["equalized_odds_difference"] == pytest.approx(fairlearn.equalized_odds_difference(**given))
    assert found["p_rule"] == pytest.approx(fairlearn.demographic_parity_ratio(**given))
    with pytest.raises(SettingError, match=r"one value per record \(n,\), got `answers` \(400,\), .* `groups` \(3,\)"):
        fairness_metrics(answers, labels, [0, 1, 1])


def test_fidelity_of_two_models() -> None:
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    x = torch.rand(200, 3)
    records = Records.of(x, torch.zeros(200))
    same = (first(x).argmax(dim=1) == second(x).argmax(dim=1)).double().mean().item()
    assert get_fidelity(first, second, records) == pytest.approx(same)
    assert get_fidelity(first, first, records) == 1
    assert get_accuracy(first, records) == pytest.approx((first(x).argmax(dim=1) == 0).double().mean().item())


def test_every_name_that_the_page_on_switching_gives_is_there() -> None:
    page = (Path(__file__).parents[3] / "docs" / "switching.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[-1] for line in page.splitlines() if line.startswith("| ")]
    named = [match for row in rows for match in re.findall(r"`((?:\w+\.)+)(\w+)", row) if match[0] != "nn."]
    assert len(named) >= 15
    for package, name in named:
        assert hasattr(importlib.import_module(f"amulet.{package.rstrip('.')}"), name), (package, name)
