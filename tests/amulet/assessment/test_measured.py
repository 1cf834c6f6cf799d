"""Measurements that are kept: when they are taken from the store, and that they are then the same."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from amulet.assessment import Plan, assess
from amulet.assessment.measured import Measured
from amulet.core import Factory, SettingError
from amulet.core.evidence import Measurement
from amulet.datasets import load_census
from amulet.discriminatory_behavior.defenses import AdversarialDebiasing
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionPGD
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.training import Defense, MemoryStore, Runtime
from amulet.unauth_model_ownership.defenses import DatasetInference

CENSUS = load_census(limit=200)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the victims that were attacked, in turn."""
    names: list[str] = []
    attacking = protocol.assess

    def assess_one(victim: Any, attack: Any, splits: Any) -> Any:
        names.append(victim.name)
        return attacking(victim, attack, splits)

    monkeypatch.setattr(protocol, "assess", assess_one)
    return names


def plan(store: MemoryStore, defenses: Sequence[Defense] = (), **changes: Any) -> Plan:
    base = Plan(
        data=CENSUS,
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=1,
        batch_size=64,
        attack=EvasionPGD(epsilon=0.05, steps=2),
        metrics=("evasion",),
        defenses=tuple(defenses),
        runtime=Runtime(store=store),
    )
    return replace(base, **changes)


def test_the_undefended_victim_meets_an_attack_once_whatever_the_defence(seen: list[str]) -> None:
    store = MemoryStore()
    assess(plan(store))
    assess(plan(store, [AdversarialDebiasing()]))
    assess(plan(store, [DatasetInference()]))
    assert seen == ["undefended", "defended"], "a fingerprint alters no weight: its victim is the undefended one"


def test_a_measurement_under_another_name_warns_under_that_name() -> None:
    warned = Measured(measurement=Measurement(warnings=["undefended: weak", "of all: undefended: weak"]))
    stored = warned.stored("undefended")
    assert stored is not None
    assert Measured.of(stored, "defended").measurement.warnings == ["defended: weak", "of all: undefended: weak"]


def test_a_defence_against_the_risk_itself_is_looked_at(seen: list[str]) -> None:
    store = MemoryStore()
    assess(plan(store))
    assess(plan(store, [AdversarialTrainingPGD(steps=1)]))
    assess(plan(store, [AdversarialTrainingPGD(steps=1, epsilon=0.1)]))
    assert seen == ["undefended", *["undefended", "defended"] * 2]


def test_what_is_taken_from_the_store_is_what_was_measured(seen: list[str]) -> None:
    store = MemoryStore()
    first, again = (assess(plan(store, [AdversarialDebiasing()])) for _ in range(2))
    assert seen == ["undefended", "defended"]
    anew = assess(plan(store, [AdversarialDebiasing()], reuse=False))
    assert len(seen) == 4
    for other in (again, anew):
        assert other.metrics == first.metrics
        assert other.baselines == first.baselines
        assert other.intervals == first.intervals
        assert other.warnings == first.warnings
        assert other.manifest == first.manifest
        assert other.arrays.keys() == first.arrays.keys()
        assert all(np.array_equal(other.arrays[name], first.arrays[name]) for name in first.arrays)


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"attack": EvasionPGD(epsilon=0.05, steps=3)}, {"adversary_fraction": 0.4}, {"epochs": 2}]
)
def test_whatever_determines_the_numbers_has_them_measured_anew(seen: list[str], changes: dict[str, Any]) -> None:
    store = MemoryStore()
    assess(plan(store))
    assess(plan(store, **changes))
    assert len(seen) == 2


def test_a_users_own_metric_sees_the_evidence_every_time(seen: list[str]) -> None:
    store = MemoryStore()
    assess(plan(store))

    def mine(evidence: Any) -> dict[str, float]:
        return {"mine": float(len(evidence.ids))}

    outcome = assess(plan(store, extra_metrics={"evasion": [mine]}))
    assert outcome.metrics["undefended"]["mine"] == len(CENSUS.test)
    assert len(seen) == 2


@pytest.mark.parametrize("given", [None, "0.5", [0.5]])
def test_a_users_own_metric_that_gives_no_numbers_is_named(given: Any) -> None:
    def mine(evidence: Any) -> Any:
        return given

    with pytest.raises(SettingError, match=rf"mine` must return numbers by name .* got {type(given).__name__}"):
        assess(plan(MemoryStore(), extra_metrics={"evasion": [mine]}))


def test_what_cannot_be_kept_as_it_is_is_not_kept() -> None:
    texts = Measured(measurement=Measurement(), arrays={"names": np.array(["a", "b"])})
    assert texts.stored("undefended") is None
    strange = Measured(measurement=Measurement(), manifest={"tensor": torch.zeros(1)})
    assert strange.stored("undefended") is None
