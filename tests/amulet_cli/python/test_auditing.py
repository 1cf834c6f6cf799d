"""`amulet.audit`: a model and records in memory, in their own units, whatever carries them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import amulet
from amulet.core.errors import DataError, SettingError
from amulet_cli.python.given import InItsOwnUnits, reset
from amulet_cli.python.records import data_of, part_of

COLUMNS = ["age", "income"]
FAST: dict[str, Any] = {"settings": {"epochs": 1}, "progress": False, "sensitive_features": ["sex"]}


def people(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.integers(18, 80, n), "income": rng.normal(40_000, 9000, n)})
    frame["sex"] = rng.choice(["female", "male"], n)
    frame["good"] = np.where(frame.income + rng.normal(0, 5000, n) > 40_000, "yes", "no")
    return frame


class Threshold(nn.Module):
    """Grants credit from an income of 41,000 on, in the units of the table."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(2, 2)
        with torch.no_grad():
            self.out.weight.copy_(torch.tensor([[0.0, 0.0], [0.01, 0.001]]))
            self.out.bias.copy_(torch.tensor([0.0, -41.49]))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


def test_a_model_answers_in_its_own_units(workdir: Path) -> None:
    train, test, model = people(), people(seed=1), Threshold().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    found = amulet.audit(model, train, test, target="good", attack="evasion_pgd", **FAST)
    assert torch.equal(torch.rand(1), expected)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    frame = found.to_frame().set_index("metric")
    own = (0.01 * test.age + 0.001 * test.income > 41.49) == (test.good == "yes")
    assert frame.value["test_accuracy"] == pytest.approx(own.mean())
    assert frame.value["robust_accuracy"] == pytest.approx(_least(train, test))
    assert not any("in this order and on this scale" in text for text in found.warnings)


def _least(train: pd.DataFrame, test: pd.DataFrame) -> float:
    """The accuracy that is left of a linear model when every column moves by the default budget of its range."""
    both = pd.concat([train, test])
    reach = 0.03 * (0.01 * (both.age.max() - min(both.age.min(), 0)) + 0.001 * (both.income.max() - 0))
    margin = 0.01 * test.age + 0.001 * test.income - 41.49
    return float(np.where(test.good == "yes", margin > reach, margin < -reach).mean())


def test_whatever_carries_the_records_the_numbers_are_the_same(workdir: Path) -> None:
    frames = people(), people(seed=1)

    def arrays(frame: pd.DataFrame) -> tuple[Any, ...]:
        return frame[COLUMNS].to_numpy(np.float64), frame.good.to_numpy(), frame[["sex"]]

    def tensors(frame: pd.DataFrame) -> tuple[Tensor, Tensor, Tensor]:
        codes = [torch.tensor((frame[name] == word).to_numpy()) for name, word in (("good", "yes"), ("sex", "male"))]
        return torch.tensor(frame[COLUMNS].to_numpy(), dtype=torch.float32), codes[0].long(), codes[1].long()

    given: list[tuple[Any, dict[str, Any]]] = [
        (frames, {"target": "good"}),
        ([frame.assign(more="x") for frame in frames], {"target": "good", "features": COLUMNS}),
        ([arrays(frame) for frame in frames], {}),
        ([tensors(frame) for frame in frames], {}),
        ([TensorDataset(*tensors(frame)) for frame in frames], {}),
    ]
    values: list[list[float]] = []
    for i, ((train, test), more) in enumerate(given):
        found = amulet.audit(
            Threshold(), train, test, attack="discriminatory_behavior", output_dir=f"out{i}", **FAST, **more
        )
        assert found.failed == ()
        values.append(list(found.to_frame().value))
    assert all(other == values[0] for other in values)


def test_what_needs_the_training_is_refused_with_the_way_out(workdir: Path) -> None:
    frames = people(), people(seed=1)
    found = amulet.audit(Threshold(), *frames, target="good", attack=["lira", "wanet"], **FAST)
    assert [one.attack for one in found.refused] == ["lira", "wanet"]
    assert "recipe=given" in found.refused[0].reason


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "goods"}, "has no column goods"),
        ({"target": None}, "`target` must name"),
        ({"sensitive_features": ["race"]}, "has no column race"),
        ({"features": ["age"]}, "does not take inputs of shape"),
        ({"name": "my model"}, "`name` must be a word"),
        ({"attack": "evasion_pdg"}, "attack=evasion_pgd"),
        ({"model": nn.Linear(2, 1)}, "With one output"),
        ({"model": nn.Linear(2, 3)}, "tells 3 classes apart"),
        ({"model": "net.pt"}, "net.pt must end in .onnx"),
        ({"model": 3}, "must be a torch.nn.Module, an estimator"),
        (
            {"model": LogisticRegression().fit([[0.0], [1.0]], [0, 1]), "attack": "square"},
            "does not take these records",
        ),
        ({"model": LogisticRegression(), "architecture": Threshold}, "`architecture` is for a network"),
    ],
)
def test_mistakes_are_told_at_once(change: dict[str, Any], says: str, workdir: Path) -> None:
    arguments: dict[str, Any] = {"model": Threshold(), "target": "good", **FAST, **change}
    with pytest.raises(SettingError) as error:
        amulet.audit(train=people(), test=people(seed=1), **arguments)
    assert says in str(error.value)


def test_texts_and_gaps_are_refused() -> None:
    frame = people()
    with pytest.raises(DataError, match="must be numbers"):
        part_of(frame, "train", "good", (), ["sex"])
    with pytest.raises(DataError, match="missing or infinite"):
        part_of(frame.assign(age=np.nan), "train", "good", ("sex",), None)


def test_pictures_and_what_is_in_range_already_stay_as_they_are() -> None:
    y = np.array([0, 1, 0, 1])
    for x in (torch.rand(4, 3, 5, 5), torch.randint(0, 255, (4, 3, 5, 5), dtype=torch.uint8), torch.rand(4, 6)):
        part = part_of((x, y), "train", None, (), None)
        given = data_of(part, part, outputs=2, name="mine")
        assert torch.equal(given.data.train.x, x)
        assert (given.data.modality == "image") == (x.dim() == 4)
    part = part_of((torch.rand(4, 3, 5, 5) * 8 - 4, y), "train", None, (), None)
    given = data_of(part, part, outputs=2, name="mine")
    again = InItsOwnUnits(nn.Identity(), given.low, given.span)(given.data.train.x)
    torch.testing.assert_close(again, part.x)


def test_a_new_model_has_other_weights_or_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.MultiheadAttention(4, 1))
    old = [value.clone() for value in model.parameters()]
    new = list(reset(model).parameters())
    assert not torch.equal(old[0], new[0])

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))

    with pytest.raises(SettingError, match="architecture=lambda"):
        reset(nn.Sequential(Own()))
