"""Which combinations of data set, attack and defence make sense, according to `check`."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch

from amulet.assessment.engine import check
from amulet.assessment.plan import Plan
from amulet.core.component import Attack, Factory
from amulet.core.errors import IncompatibleError
from amulet.datasets.base import AmuletDataset, Modality
from amulet.datasets.records import Records
from amulet.training.defense import Defense

_RECORDS = 600  # records of each part of a made-up data set: enough for every default setting


@dataclass(frozen=True)
class DataFacts:
    """The properties of a data set that matter to attacks and defences, with the defaults of its loader."""

    name: str
    modality: Modality
    shape: tuple[int, ...]
    classes: int
    attributes: tuple[str, ...] = ()
    categorical: tuple[int, ...] = ()
    """The numbers of values of the categorical inputs of a table, in the order of its columns."""

    @classmethod
    def of(cls, data: AmuletDataset) -> "DataFacts":
        """Those of a data set that is loaded."""
        widths = tuple(end - start for start, end in data.groups)
        return cls(data.name, data.modality, data.shape, data.num_classes, data.attributes, widths)


def stand_in(facts: DataFacts) -> AmuletDataset:
    """Made-up records of that kind, for which `check` gives the same answer as for the real ones."""
    made: list[Records] = []
    cuts = list(accumulate(facts.categorical, initial=sum(facts.shape[:1]) - sum(facts.categorical)))
    groups = tuple(pairwise(cuts))
    for part in range(2):
        generator = torch.Generator().manual_seed(part)
        x = torch.rand(_RECORDS, *facts.shape, generator=generator)
        x = (x * 255).to(torch.uint8) if facts.modality == "image" else x
        numbers = torch.arange(_RECORDS)
        for start, end in groups:
            x[:, start:end] = torch.nn.functional.one_hot(numbers % (end - start), end - start)
        z = [numbers // facts.classes // 2**i % 2 for i in range(len(facts.attributes))]
        z_table = torch.stack(z, dim=1) if z else torch.zeros(_RECORDS, 0, dtype=torch.int64)
        ids = numbers + part * _RECORDS
        made.append(Records(x, numbers % facts.classes, z_table, ids, facts.attributes))
    return AmuletDataset(
        name=facts.name,
        modality=facts.modality,
        train=made[0],
        test=made[1],
        num_classes=facts.classes,
        groups=groups,
    )


def why_not(data: AmuletDataset, attack: Attack | None, defenses: Iterable[Defense] = ()) -> str | None:
    """Why an attack on these defences makes no sense on some data; None if it makes sense. Nothing is trained."""
    plan = Plan(
        data=data,
        architecture=Factory("amulet.models.LinearNet"),
        optimizer=Factory("torch.optim.Adam"),
        defenses=tuple(defenses),
        attack=attack,
    )
    try:
        check(plan)
    except IncompatibleError as refused:
        return str(refused)
    return None
