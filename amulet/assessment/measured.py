"""Stored measurements: the same attack on the same victim is run once, whatever else changes between runs.

In a sweep the undefended victim is attacked once by each attack, not once per defence, and a defence's own risk is
measured once, not once per attack. A victim whose defence changes no weight is the same as the undefended one. This
relies on a rule: a risk's protocol uses the victim, the splits and the defences of its own risk, never those of other
risks.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amulet.assessment.risks import RISKS
from amulet.core.blocks import RecordBlocks
from amulet.core.component import Attack, code_digest
from amulet.core.evidence import Measurement
from amulet.core.facts import MetricFacts
from amulet.core.version import __version__
from amulet.training.store import Stored
from amulet.training.victim import DataSplits, Victim

_KEPT = "evidence."


@dataclass(kw_only=True)
class Measured:
    """One risk of one victim: the numbers, how they were obtained, the evidence."""

    measurement: Measurement
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    arrays: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    def stored(self, victim: str) -> Stored | None:
        """In the form that a store keeps; None if an array or an entry cannot be kept unchanged."""
        numbers = self.measurement
        meta: dict[str, Any] = {
            "victim": victim,
            "metrics": numbers.metrics,
            "baselines": numbers.baselines,
            "intervals": {name: list(interval) for name, interval in numbers.intervals.items()},
            "facts": {name: facts.as_dict() for name, facts in numbers.facts.items()},
            "influences": {name: blocks.as_dict() for name, blocks in numbers.influences.items()},
            "invalid": numbers.invalid,
            "warnings": numbers.warnings,
            "manifest": self.manifest,
        }
        try:
            meta = json.loads(json.dumps(meta))
            tensors = {f"{_KEPT}{name}": torch.from_numpy(np.array(array)) for name, array in self.arrays.items()}
        except TypeError:  # texts, objects
            return None
        return Stored(tensors, meta)

    @classmethod
    def of(cls, stored: Stored, victim: str) -> "Measured":
        """From the result of `stored`; warnings begin with the name of the victim, which may be a different one now."""
        meta = stored.meta
        before = f"{meta['victim']}: "
        return cls(
            measurement=Measurement(
                metrics=dict(meta["metrics"]),
                baselines=dict(meta["baselines"]),
                intervals={name: (low, high) for name, (low, high) in meta["intervals"].items()},
                facts={name: MetricFacts.from_dict(facts) for name, facts in meta["facts"].items()},
                influences={name: RecordBlocks.from_dict(one) for name, one in meta["influences"].items()},
                invalid=dict(meta["invalid"]),
                warnings=[w.replace(before, f"{victim}: ", 1) if w.startswith(before) else w for w in meta["warnings"]],
            ),
            manifest=dict(meta["manifest"]),
            arrays={name.removeprefix(_KEPT): tensor.numpy() for name, tensor in stored.tensors.items()},
        )


def key_of(risk: str, victim: Victim, attack: Attack, splits: DataSplits) -> str:
    """A hash of everything that determines the measurement of one risk of one victim."""
    data = splits.data
    parts = {
        "amulet": [__version__, code_of_amulet(), torch.__version__.split("+")[0]],
        "device": splits.runtime.device.type,
        "risk": risk,
        "protocol": code_digest(RISKS[risk].protocol),  # it need not be Amulet's own
        "attack": attack.describe(),
        "settings": attack.settings(),
        "victim": [victim.trained.key, victim.records.digest, victim.stream.root, *victim.stream.path],
        "recipe": victim.recipe.describe(),
        "given": None if (own := victim.pretrained) is None else [own.digest, own.recipe_known, own.members_known],
        "plain": splits.plain_recipe.describe(),
        "defenses": [[d.describe(), d.settings()] for d in splits.defenses if d.risk == risk],
        "data": [data.name, data.train.digest, data.test.digest, data.num_classes, data.feature_names, data.groups],
        "possible": [dict(data.scales), data.constraints],
        "split": [splits.victim_records.digest, splits.adversary_records.digest],
        "stream": [splits.stream.root, *splits.stream.path],
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return f"measured-{hashlib.sha256(text.encode()).hexdigest()}"


@cache
def code_of_amulet() -> str:
    """SHA-256 of the library's source code, so that a change of the code makes stored measurements invalid."""
    folder = Path(__file__).parents[1]
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        sha.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()
