"""What one run found, in a sentence: every risk once, on the right side, with its number."""

from pathlib import Path

import pytest

from amulet_cli.analysis.in_words import in_words
from amulet_cli.results.result import Result
from tests.helpers.made_up_results import typical, with_records, write

EVASION, THEFT = "wrong answers through small changes of an input", "theft of the model through its answers"


@pytest.fixture
def run(tmp_path: Path) -> Result:
    return write(tmp_path, with_records(typical()))


def test_what_falls_and_what_rises(run: Result) -> None:
    changes = {
        "test_accuracy": ("-2.76", "worse"),
        "fidelity": ("+1.00", "worse"),  # decides nothing
        "fidelity_kappa": ("+3.72", "worse"),
        "robust_accuracy": ("+37.73", "better"),
    }
    assert in_words(run, changes) == (
        f"With adversarial training the risk of {EVASION} (robust_accuracy +37.73) falls; that of {THEFT} "
        "(fidelity_kappa +3.72) rises; test accuracy falls by 2.76 points. "
        "This is one seed; a verdict needs at least 10."
    )


def test_several_risks_of_one_fate(run: Result) -> None:
    changes = {
        "test_accuracy": ("+0.01", "≈"),
        "fidelity_kappa": ("-0.10", "≈"),
        "robust_accuracy": ("+0.20", "≈"),
    }
    told = in_words(run, changes)
    assert f"the risks of {THEFT} (fidelity_kappa -0.10) and {EVASION} (robust_accuracy +0.20) do not clearly" in told
    assert "test accuracy does not clearly change" in told


def test_what_cannot_be_shown_is_said_and_what_was_not_measured_is_not(run: Result) -> None:
    told = in_words(run, {"fidelity_kappa": ("+0.10", "cannot show"), "robust_accuracy": ("-", "not measurable")})
    assert f"{THEFT} (fidelity_kappa +0.10) may have changed, which these numbers cannot show" in told
    assert EVASION not in told
    assert in_words(run, {"robust_accuracy": ("-", "not measurable"), "test_accuracy": ("+1.00", "better")}) == ""
