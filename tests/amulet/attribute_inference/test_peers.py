"""Attribute inference beside the Adversarial Robustness Toolbox: the same knowledge, another implementation."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from amulet.attribute_inference.attacks import Asked, AttributeLabels
from amulet.core import Stream
from amulet.datasets import Records
from amulet.training import Runtime
from tests.helpers.attribute_toys import JOB, workers


def test_as_much_is_inferred_as_by_art() -> None:
    """From the other inputs and the class that is answered to the record, and from the other inputs alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that it imports
        art: Any = pytest.importorskip("art.attacks.inference.attribute_inference", reason="needs the extra `peers`")
        classifiers: Any = pytest.importorskip("art.estimators.classification.scikitlearn")
    adversary, test = (jobs(workers(1000, seed, first)) for seed, first in ((0, 0), (1, 5000)))
    victim = RandomForestClassifier(10, max_depth=6, random_state=0).fit(adversary.x.numpy(), adversary.y.numpy())

    def answer(records: Records) -> Tensor:
        return torch.from_numpy(victim.predict_proba(records.x.numpy())).float().clamp_min(1e-6).log()

    attack = AttributeLabels(knows_inputs=True, epochs=15, hidden=[32], lr=0.01)
    ours = attack.infer(
        Asked(
            answer=answer,
            adversary=adversary,
            test=test,
            variables={"job": JOB},
            stream=Stream(0) / "attack",
            runtime=Runtime(),
        )
    )
    estimator = classifiers.ScikitlearnRandomForestClassifier(victim)
    place, others = slice(JOB.start, JOB.end), JOB.others(test.x).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        black_box = art.AttributeInferenceBlackBox(estimator, attack_model_type="lr", attack_feature=place)
        black_box.fit(adversary.x.numpy())
        with_answer = black_box.infer(others, pred=victim.predict(test.x.numpy())[:, None])
        alone = art.AttributeInferenceBaseline(attack_model_type="lr", attack_feature=place)
        alone.fit(adversary.x.numpy())
        without = alone.infer(others)
    for key, theirs in (("job", with_answer), ("job.inputs", without)):
        truth = test.z[:, 0]
        hit = (ours.log_probabilities[key].argmax(dim=1) == truth).float().mean()
        their_hit = np.mean(theirs.argmax(axis=1) == truth.numpy())
        assert float(hit) > float(their_hit) - 0.02, key
        assert float(hit) == pytest.approx(float(their_hit), abs=0.08), key


def jobs(records: Records) -> Records:
    """With the job as a sensitive attribute, which is an input too."""
    return Records(records.x, records.y, JOB.codes(records)[:, None], records.ids, ("job",))
