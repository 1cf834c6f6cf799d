"""The logic of CUDA and MPS, where neither is at hand: by fakes, by the device `meta`, on the CPU in its place."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from amulet.core import Factory, SettingError, Stream
from amulet.data_reconstruction.attacks import ModelInversion, inversion
from amulet.datasets import Records
from amulet.discriminatory_behavior.defenses import AdversarialDebiasing
from amulet.evasion.attacks import EvasionPGD
from amulet.evasion.attacks.ascent import GOALS, ascend
from amulet.evasion.attacks.balls import LinfBall
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import LinearNet, arithmetic, evaluating, frozen
from amulet.models.arithmetic import channels_last, fast_dtype, precise_dtype
from amulet.models.chain import Chain
from amulet.training import EarlyStopping, Recipe, Runtime, device_data, resolve_device
from amulet.training.device_data import Supply, fits, size_of
from amulet.training.parallel import stacked
from amulet.training.runtime import free_memory
from amulet_cli.execution import environment
from tests.helpers.replacements import gives

CPU, CUDA, MPS, META = (torch.device(name) for name in ("cpu", "cuda", "mps", "meta"))
GIB = 2**30


def table(n: int = 60, seed: int = 0) -> Records:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = (0.5 + 0.2 * (2 * y - 1).unsqueeze(1) + 0.1 * torch.randn(n, 4, generator=generator)).clamp(0, 1)
    z = torch.randint(0, 2, (n, 1), generator=generator)
    return Records.of(x, y, z, ("group",))


def recipe(**changes: Any) -> Recipe:
    base = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=0.01),
        epochs=2,
        batch_size=16,
    )
    return base.changed(**changes)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A card with 8 GiB free, of which this process keeps 2, 1 of them unused."""
    card = SimpleNamespace(free=8 * GIB, reserved=2 * GIB, allocated=GIB, capability=(9, 0), devices=1)

    def free(_: torch.device) -> tuple[int, int]:
        return card.free, 80 * GIB

    def of(name: str) -> Callable[[torch.device], Any]:
        return lambda _: getattr(card, name)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: card.devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: card.devices)
    monkeypatch.setattr(torch.cuda, "mem_get_info", free)
    monkeypatch.setattr(torch.cuda, "memory_reserved", of("reserved"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", of("allocated"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", of("capability"))
    return card


def test_the_device_is_found_or_its_lack_is_told(cuda: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device().type == "cuda"
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(SettingError, match="`device` is cuda:1, but this PyTorch finds no such CUDA device"):
        resolve_device("cuda:1")
    cuda.devices = 0
    with pytest.raises(SettingError, match="finds no such CUDA device; use auto or cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", gives(True))
    assert resolve_device() == resolve_device("mps") == MPS


def test_a_table_goes_to_the_card_if_it_takes_half_of_what_is_free(cuda: SimpleNamespace) -> None:
    assert free_memory(CPU) is None
    assert free_memory(CUDA) == 9 * GIB
    column = torch.empty(GIB, 1, dtype=torch.uint8, device=META)
    records = Records(column, column[:, 0], column[:, :0], column[:, 0])
    assert size_of(records) == 3 * GIB
    assert fits(records, CUDA)
    cuda.free = 4 * GIB
    assert not fits(records, CUDA)
    assert fits(records, CPU)


def test_what_apple_recommends_is_the_limit_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", gives(10 * GIB))
    for held, room in ((4 * GIB, 6 * GIB), (11 * GIB, 0)):
        monkeypatch.setattr(torch.mps, "driver_allocated_memory", gives(held))
        assert free_memory(MPS) == room


def test_batches_of_a_table_that_stays_behind_come_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    records = table()
    monkeypatch.setattr(device_data, "fits", gives(False))
    there = Supply(records, META)
    assert there.records is records
    batches = list(there.shuffled(torch.Generator().manual_seed(0), 16))
    assert {value.device for batch in batches for value in (batch.x, batch.y, batch.z, batch.ids)} == {META}
    assert sum(map(len, batches)) == len(records)
    monkeypatch.setattr(device_data, "fits", gives(True))
    assert Supply(records, META).records.x.device == META
    assert Supply(records, CPU).records is records


def test_training_from_a_table_that_stays_behind_makes_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(early_stopping=EarlyStopping(fraction=0.2))
    whole = made.fit(table(), 0)
    monkeypatch.setattr(device_data, "fits", gives(False))
    monkeypatch.setattr(device_data, "_same", gives(False))
    by_batch = made.fit(table(), 0)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), by_batch.parameters(), strict=True))


def test_cuda_and_cuda_0_are_one_device() -> None:
    same = device_data._same  # pyright: ignore[reportPrivateUsage]
    assert same(torch.device("cuda"), torch.device("cuda:0"))
    assert not same(torch.device("cuda"), torch.device("cuda:1"))
    assert not same(CPU, CUDA)


class NoFloat64(TorchDispatchMode):
    """As on MPS, which has no such numbers. Python's numbers, which torch wraps in tensors without dimensions, may."""

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(value, Tensor) and value.dtype == torch.float64:
                raise TypeError(f"{func} makes float64")
        return made


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"defenses": (AdversarialTrainingPGD(steps=2),)},
        {"defenses": (AdversarialTrainingPGD(steps=2, norm="l2", loss="trades"),)},
        {"defenses": (AdversarialDebiasing(),)},
        {"early_stopping": EarlyStopping(fraction=0.2)},
    ],
    ids=["plain", "adversarial", "trades", "debiasing", "early stopping"],
)
def test_training_needs_no_float64(changes: dict[str, Any]) -> None:
    with NoFloat64():
        recipe(**changes).fit(table(), 0)


def test_the_search_for_adversarial_inputs_needs_no_float64() -> None:
    model = recipe().fit(table(), 0)
    with NoFloat64():
        EvasionPGD(steps=2, search_dtype="float32").adversarial(model, table(), Stream(0))


def test_model_inversion_needs_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inversion, "precise_dtype", lambda _: precise_dtype(MPS))  # pyright: ignore[reportUnknownLambdaType]
    model = recipe().fit(table(), 0)
    steps: list[int] = []

    def counting(*args: Any) -> Any:
        with NoFloat64():
            found = descend(*args)
        steps.append(found.steps)
        return found

    descend = ModelInversion(steps=3)._descend  # pyright: ignore[reportPrivateUsage]
    attack = ModelInversion(steps=3)
    monkeypatch.setattr(attack, "_descend", counting)
    assert attack.reconstruct(model, (4,), 2, Stream(0)).loss.dtype == torch.float64, "on the CPU again"
    assert steps == [3]
    assert precise_dtype(CPU) == torch.float64


def test_no_float64_is_noticed() -> None:
    with NoFloat64(), pytest.raises(TypeError, match="makes float64"):
        torch.zeros(1).double()


def test_the_global_generator_of_mps_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Tensor] = []
    state = torch.tensor([7], dtype=torch.uint8)
    monkeypatch.setattr(torch.mps, "get_rng_state", gives(state))
    monkeypatch.setattr(torch.mps, "set_rng_state", kept.append)
    with Stream(0).seed_global(MPS):
        assert not kept
    assert len(kept) == 1
    assert kept[0] is state


def test_bfloat16_where_the_processor_has_it(cuda: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fast_dtype(CUDA) == torch.bfloat16
    cuda.capability = (7, 5)
    assert fast_dtype(CUDA) == torch.float32
    cuda.devices = 0
    assert fast_dtype(CUDA) == fast_dtype(MPS) == torch.float32
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    for vendor, avx512, amx, most, fast in (
        ("AuthenticAMD", True, False, "", True),
        ("AuthenticAMD", False, False, "", False),
        ("GenuineIntel", True, False, "", False),  # 78 GFLOP/s in bfloat16, 140 in float32
        ("GenuineIntel", True, True, "", True),
        ("", True, False, "", False),
        ("GenuineIntel", True, True, "default", True),
        ("GenuineIntel", True, True, "AVX2", False),  # then oneDNN has no products of bfloat16
        ("GenuineIntel", True, True, "AVX512_CORE_BF16", False),
        ("GenuineIntel", True, True, "AVX512_CORE_AMX", True),
        ("AuthenticAMD", True, False, "AVX512_CORE_BF16", True),
        ("AuthenticAMD", True, False, "AVX2", False),
    ):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", most)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", gives(avx512), raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", gives(amx), raising=False)
        monkeypatch.setattr(arithmetic, "cpu_vendor", gives(vendor))
        assert (fast_dtype(CPU) == torch.bfloat16) == fast, (vendor, avx512, amx, most)


def test_the_vendor_of_the_processor_is_asked_for_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = arithmetic.cpu_vendor.__wrapped__
    listed = "processor : 0\nvendor_id : AuthenticAMD\nmodel name : a b\n"
    monkeypatch.setattr(arithmetic.Path, "read_text", gives(listed))
    assert ask() == "AuthenticAMD"
    monkeypatch.setattr(arithmetic.Path, "read_text", gives("CPU implementer : 0x41\n"))
    assert ask() == ""

    def missing(_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(arithmetic.Path, "read_text", missing)
    for says, vendor in (("AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD", "AuthenticAMD"), ("", "")):
        monkeypatch.setattr(arithmetic.platform, "processor", gives(says))
        assert ask() == vendor


def test_channels_last_by_device_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert channels_last(CUDA, low_precision=True)
    assert not channels_last(CUDA, low_precision=False)
    assert not channels_last(MPS, low_precision=True)
    for there in (True, False):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", gives(there))
        assert channels_last(CPU, low_precision=False) == there


def test_a_stack_is_as_large_as_the_card_has_room_for(cuda: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(runtime=Runtime(device=CUDA))
    assert stacked.stack_size(made, table()) == stacked.MOST
    cuda.free, cuda.reserved, cuda.allocated = 200_000, 0, 0
    few = stacked.stack_size(made, table())
    assert 1 < few < stacked.MOST
    cuda.free = 0
    assert stacked.stack_size(made, table()) == 1


def test_cuda_runs_are_deterministic_and_float32_is_not_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[bool, bool]] = []

    def choose(on: bool, *, warn_only: bool) -> None:
        chosen.append((on, warn_only))

    monkeypatch.setattr(torch, "use_deterministic_algorithms", choose)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cudnn, cublas = SimpleNamespace(allow_tf32=True, benchmark=True), SimpleNamespace(allow_tf32=True)
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    monkeypatch.setattr(torch.backends.cuda, "matmul", cublas)
    environment.be_deterministic(CPU)
    assert not chosen
    assert cudnn.allow_tf32
    environment.be_deterministic(CUDA)
    assert chosen == [(True, True)]
    assert not any([cudnn.allow_tf32, cudnn.benchmark, cublas.allow_tf32])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(6,), (1, 2, 3)])
def test_a_chains_gradient_is_autograds(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    with Stream(0).seed_global():
        model = LinearNet(shape, 3, hidden=(16, 8), dropout=0.5).eval()
    x, y = torch.rand(20, *shape, generator=generator), torch.arange(20) % 3
    chain = Chain.of(model, x, dtype)
    assert chain is not None
    point = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(nn.functional.cross_entropy(model(point), y, reduction="sum"), point)
    made = chain.gradient(x, nn.functional.one_hot(y, 3).float())
    assert (made.shape, made.dtype) == (x.shape, torch.float32)
    error = (made - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    if dtype == torch.float32:
        assert error.max() < 1e-3
    else:  # near the kink of a ReLU, rounding may choose its other side
        assert error.median() < 0.03


def test_only_a_chain_is_taken_for_one() -> None:
    row, image = torch.zeros(1, 4), torch.zeros(1, 1, 2, 4)
    one, two = nn.Linear(4, 4), nn.Linear(4, 2)
    assert Chain.of(nn.Sequential(one, nn.ReLU(), nn.Dropout(), nn.Sequential(two)), row) is not None
    listened = nn.Sequential(nn.Linear(4, 2))
    listened[0].register_forward_hook(gives(None))
    others: list[tuple[nn.Module, Tensor]] = [
        (nn.Sequential(one, nn.Tanh(), two), row),
        (nn.Sequential(one, two), row),
        (nn.Sequential(one, nn.ReLU()), row),
        (nn.Sequential(nn.ReLU(), two), row),
        (nn.Sequential(one, nn.ReLU(), two), image),
        (nn.Sequential(nn.Flatten(2), two), image),
        (nn.Sequential(one, nn.BatchNorm1d(4), nn.ReLU(), two), row),
        (LinearNet((4,), 2, activation="gelu"), row),
        (nn.ModuleList([one]), row),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)), row),
        (listened, row),
    ]
    assert [Chain.of(model, x) for model, x in others] == [None] * len(others)


def test_ascent_along_a_chain_is_ascent_by_autograd() -> None:
    model, records = recipe().fit(table(), 0), table(seed=1)
    x, y = records.x, records.y
    seen: list[Tensor] = []
    with evaluating(model), frozen(model):
        for listened in (False, True):
            handle = model.register_forward_hook(gives(None)) if listened else None  # keeps it from being a chain
            found = ascend(model, LinfBall(x, 0.2), y, GOALS["cross_entropy"], start=x.clone(), steps=5, step_size=0.05)
            seen.append(found)
            if handle:
                handle.remove()
    assert torch.allclose(seen[0], seen[1])
    assert (seen[0] - x).abs().max() > 0.15


def test_the_dtype_of_the_search_is_a_setting() -> None:
    assert AdversarialTrainingPGD(search_dtype="float32").dtype(CPU) == torch.float32
    assert AdversarialTrainingPGD(search_dtype="bfloat16").dtype(CPU) == torch.bfloat16
    assert AdversarialTrainingPGD().dtype(CPU) == fast_dtype(CPU)
    with pytest.raises(SettingError, match="`search_dtype` must be one of auto, float32, bfloat16"):
        AdversarialTrainingPGD(search_dtype="float16")  # type: ignore[arg-type]
    images = Records.of(torch.rand(32, 1, 8, 8), torch.arange(32) % 2)
    made = recipe(architecture=Factory("amulet.models.SmallCNN", channels=[4], convs=1), precision="float32", epochs=1)
    for defense in (
        AdversarialTrainingPGD(steps=2, search_dtype="float32"),
        AdversarialTrainingPGD(steps=2, search_dtype="bfloat16"),
    ):
        report = made.changed(defenses=(defense,)).produce(images, 0).report
        assert 0 < report["loss"] < 2
