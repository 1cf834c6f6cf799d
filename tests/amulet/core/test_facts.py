"""The facts of a metric, as a result keeps them."""

import json
import math

import pytest

from amulet.core.facts import MetricFacts
from amulet_cli.base.serialize import plain

ENDS = [None, (0.0, 1.0), (0.0, math.inf), (-math.inf, 0.0)]


@pytest.mark.parametrize("ends", ENDS)
def test_what_json_kept_has_the_same_limits(ends: tuple[float, float] | None) -> None:
    facts = MetricFacts(name="epsilon_lower_bound", label="what an audit proves", range=ends)
    kept = MetricFacts.from_dict(json.loads(json.dumps(plain(facts.as_dict()))))
    assert kept == facts
    assert kept.largest_change == facts.largest_change
