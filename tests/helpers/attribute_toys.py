"""Small tasks for the tests of attribute inference: answers that give an attribute away, and such that do not."""

import torch
from torch import Tensor

from amulet.attribute_inference.attacks import Asked, AttributeAttack, AttributeInference
from amulet.attribute_inference.metrics import AttributeEvidence
from amulet.core import Stream
from amulet.datasets import Records
from amulet.datasets.variables import Variable
from amulet.training import Runtime

JOB = Variable(2, 5, ("cook", "judge", "smith"))
"""The missing input of `workers`."""


def people(n: int, seed: int, *, values: int = 2, first_id: int = 0) -> Records:
    """An attribute `group` of which the first value is twice as frequent, and labels that go with it a little."""
    generator = torch.Generator().manual_seed(seed)
    z = (torch.rand(n, generator=generator) * (values + 1)).long().sub(1).clamp_min(0)
    y = (torch.rand(n, generator=generator) < 0.3 + 0.3 * (z > 0)).long()
    x = torch.rand(n, 3, generator=generator)
    return Records(x, y, z.unsqueeze(1), torch.arange(n) + first_id, ("group",))


def workers(n: int, seed: int, first_id: int = 0) -> Records:
    """Two numbers, a job that goes with the first of them, and a label that goes with the job."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(n, 2, generator=generator)
    job = (3 * (0.6 * numbers[:, 0] + 0.4 * torch.rand(n, generator=generator))).long()
    y = (torch.rand(n, generator=generator) < torch.tensor([0.2, 0.5, 0.8])[job]).long()
    x = torch.cat([numbers, torch.nn.functional.one_hot(job, 3)], dim=1)
    return Records.of(x, y).replace(ids=torch.arange(n) + first_id)


def answers_of_label(records: Records) -> Tensor:
    """Logits that say the label and nothing else."""
    return torch.nn.functional.one_hot(records.y, 2).float() * 3


def answers_with_leak(records: Records, strength: float = 1.0) -> Tensor:
    """Logits that lean to one side with the attribute, by as much as noise does where `strength` is 1."""
    noise = torch.randn(len(records), generator=torch.Generator().manual_seed(len(records)))
    lean = strength * records.z[:, 0] + noise
    return torch.stack([-lean, lean], dim=1) / 4 + answers_of_label(records) / 10


def inferred(
    attack: AttributeAttack,
    adversary: Records,
    answers: Tensor,
    test: Records,
    test_answers: Tensor,
    training: Records | None = None,
    training_answers: Tensor | None = None,
) -> AttributeEvidence:
    known = {id(adversary): answers, id(test): test_answers, id(training): training_answers}

    def answer(records: Records) -> Tensor:
        found = known[id(records)]
        assert found is not None
        return found

    return attack.infer(
        Asked(
            answer=answer,
            adversary=adversary,
            test=test,
            training=training,
            stream=Stream(0) / "attack",
            runtime=Runtime(),
        )
    )


def quick(**changes: object) -> AttributeInference:
    return AttributeInference(epochs=15, hidden=[16], lr=0.01, batch_size=128).changed(**changes)
