"""Every architecture in the recipes: kept and loaded, stacked or not, and from the command line."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from amulet.core import Factory, Stream
from amulet.datasets import Records
from amulet.evasion.attacks import EvasionPGD
from amulet.models import predict
from amulet.training import Recipe, Runtime
from amulet.training.parallel.stacked import train_stack, why_not
from amulet.utils import initialize_model
from amulet_cli.cli import main
from amulet_cli.config.options import find_options
from amulet_cli.results.store import DiskStore
from tests.helpers.model_toys import IMAGE_MODELS, SMALL, TABLE, TABLE_MODELS, built, images

MODELS = {**IMAGE_MODELS, **TABLE_MODELS}


def records(name: str, n: int = 12, seed: int = 0) -> Records:
    shape = TABLE if name in TABLE_MODELS else (1, 12, 12)
    generator = torch.Generator().manual_seed(seed)
    return Records.of((torch.rand(n, *shape, generator=generator) * 255).to(torch.uint8), torch.arange(n) % 3)


def recipe_of(name: str, runtime: Runtime | None = None) -> Recipe:
    return Recipe(
        architecture=MODELS[name],
        num_classes=3,
        optimizer=Factory("torch.optim.SGD", lr=0.01),
        epochs=2,
        batch_size=6,
        precision="float32",
        runtime=runtime or Runtime(),
    )


class Precise(Recipe):
    """Models in float64.

    A training of a deep and narrow network blows rounding up ten-million-fold: in float32, whose rounding depends on
    the processor, to what a wrong batch would change, but here to 1e-8 at most.
    """

    def build(self, shape: tuple[int, ...], stream: Stream) -> nn.Module:
        model = super().build(shape, stream).double()
        model.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
        return model


@pytest.mark.parametrize("name", MODELS)
def test_a_kept_model_answers_as_the_trained_one(name: str, tmp_path: Path) -> None:
    recipe, table = recipe_of(name, Runtime(store=DiskStore(tmp_path))), records(name)
    recipe.try_out(table)
    trained = recipe.produce(table, Stream(0))
    again = recipe.produce(table, Stream(0))
    assert (trained.loaded, again.loaded) == (False, True)
    assert torch.equal(predict(trained.model, table), predict(again.model, table))
    fresh = recipe.build(table.shape, Stream(0))
    assert not torch.allclose(predict(fresh, table), predict(again.model, table)), "nothing was learned"


@pytest.mark.parametrize("name", MODELS)
def test_models_are_stacked_where_that_gives_the_same(name: str) -> None:
    recipe, tables = recipe_of(name), [records(name, seed=k) for k in range(2)]
    if name.startswith("resnet"):  # maps of one pixel normalised by themselves blow up every rounding
        recipe = recipe.changed(architecture=recipe.architecture.with_settings(stem="small", norm="batch"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as they are outside of tests, which make errors of all
        reason = why_not(recipe, tables[0])
    expected = {"vgg19": "random", "ft_transformer": "random", "vit": "performance drop"}
    if name in expected:
        assert reason is not None
        assert expected[name] in reason
        return
    assert reason is None
    precise, streams = Precise(**vars(recipe)), [Stream(k) for k in range(2)]
    for table, stream, stored in zip(tables, streams, train_stack(precise, tables, streams, ""), strict=True):
        together = precise.restore(stored, table.shape, "", loaded=False).model.state_dict()
        alone = precise.changed(runtime=Runtime()).produce(table, stream).model.state_dict()
        assert {value.dtype for value in alone.values()} <= {torch.float64, torch.int64}
        torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("search_dtype", ["float32", "bfloat16"])
def test_pgd_works_on_it_and_leaves_no_trace(name: str, search_dtype: Any) -> None:
    table = records(name)
    model = recipe_of(name).fit(table, Stream(0))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attack = EvasionPGD(model, DataLoader(table, 6), epsilon=0.1, steps=2, search_dtype=search_dtype)
    changed = Records.from_loader(attack.attack()).inputs()
    sizes = (changed - table.inputs()).abs().flatten(1).amax(dim=1)
    right = predict(model, table).argmax(dim=1) == table.y
    assert sizes[right].min() > 0.01, "an input was not searched"
    assert sizes.max() <= 0.1 + 1e-6
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_mixed_precision_and_channels_last_change_little(name: str) -> None:
    x = images((3, 12, 9), 8)
    model = built(MODELS[name], (3, 12, 9)).eval()
    wanted = model(x)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x).float()
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05 * wanted.abs().max().item())


def test_the_papers_helper_builds_them_by_name() -> None:
    from amulet.datasets import AmuletDataset

    x, y = images(SMALL), torch.tensor([0, 1, 0, 1])
    train, test = Records.of(x, y), Records.of(x, y)
    test = test.replace(ids=test.ids + 4)
    data = AmuletDataset(name="toy", modality="image", train=train, test=test, num_classes=2)
    model = initialize_model("vgg", data, depth=13, width=0.05)
    assert predict(model, x).shape == (4, 2)


def test_all_are_listed_with_their_sources() -> None:
    found = {option.name: option for option in find_options() if option.group == "model"}
    wanted = "linearnet cnn vgg11 vgg13 vgg16 vgg19 resnet18 resnet34 resnet50 resnet101 vit ft_transformer custom"
    assert found.keys() >= set(wanted.split())
    assert [name for name, option in found.items() if not option.line or not option.source] == []


_PICTURES = """
import torch
from torch import nn
from amulet.datasets import AmuletDataset, Records


def load_pictures(*, records: int = 60) -> AmuletDataset:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(records) % 2
    x = torch.randint(0, 128, (records, 3, 9, 7), generator=generator, dtype=torch.uint8)
    x[y == 1, :, 2:5] += 127
    whole = Records.of(x, y)
    half = torch.arange(records // 2)
    train, test = whole.take(half), whole.take(half + records // 2)
    return AmuletDataset(name="pictures", modality="image", train=train, test=test, num_classes=2)


class Net(nn.Sequential):
    def __init__(self, input_shape, num_classes, *, width: int = 4):
        super().__init__(
            nn.Conv2d(input_shape[0], width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, num_classes),
        )
"""


@pytest.fixture
def pictures(workdir: Path) -> list[str]:
    """A user's own images, and the words that choose them."""
    (workdir / "my_pictures.py").write_text(_PICTURES)
    option = workdir / "my_conf" / "dataset" / "pictures.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: my_pictures.load_pictures\nrecords: 60\n")
    return ["--config-dir=my_conf", "dataset=pictures", "epochs=1"]


def test_a_users_own_model_of_images_is_attacked_and_defended(pictures: list[str], workdir: Path) -> None:
    model, defense = ["model=my_pictures:Net", "model.width=3"], ["defense=dp_sgd", "metric=evasion"]
    assert main(["run", *pictures, *model, *defense, "attack=evasion_pgd", "attack.steps=2"]) == 0
    (file,) = workdir.glob("outputs/**/metrics.json")
    result = json.loads(file.read_text())
    assert "robust_accuracy" in result["metrics"]["defended"]
    assert any("1 BatchNorm layers are replaced by GroupNorm" in warning for warning in result["warnings"])


@pytest.mark.parametrize(
    ("model", "settings"), [("cnn", ["model.channels=[4,4]"]), ("vit", ["model.dim=8", "model.layers=1"])]
)
def test_an_architecture_of_ours_runs_on_a_users_images(
    model: str, settings: list[str], pictures: list[str], workdir: Path
) -> None:
    words = [
        f"model={model}",
        *settings,
        "defense=adv_training",
        "defense.steps=1",
        "attack=badnets",
        "attack.rate=0.1",
    ]
    assert main(["run", *pictures, *words, "metric=poisoning"]) == 0
    assert len(list(workdir.glob(f"outputs/pictures/{model}/**/metrics.json"))) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model=vgg11"], "VGG takes images (channels, height, width), got inputs of shape (42,)"),
        (["model=vgg11", "model.depth=12"], "`model.depth` must be one of 11, 13, 16, 19, got 12"),
        (["model=resnet18", "model.norm=none"], "`model.norm` must be one of batch, group, got 'none'"),
        (["model=vgg11", "model.batch_norm=false"], "expected one of depth, norm, width, pooled, hidden, dropout"),
    ],
)
def test_mistakes_are_told_in_one_message(
    words: list[str], says: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "dataset.limit=200", *words]) == 2
    assert " ".join(says.split()) in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_a_missing_extra_is_told_before_anything_is_trained(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rtdl_revisiting_models", None)
    assert main(["run", "dataset.limit=200", "model=ft_transformer", "defense=dp_sgd"]) == 2
    assert 'pip install "amulet-cli[transformers]"' in " ".join(capsys.readouterr().err.replace("│", "").split())
    assert not (workdir / "outputs").exists() or not list(workdir.rglob("*.safetensors"))
