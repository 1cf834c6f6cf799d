"""An epoch of training beside the best plain loops: adversarial, private, and of convolutional networks."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import Factory, Stream
from amulet.datasets import Records, load_census
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.membership_inference.defenses import DPSGD
from amulet.models import VGG, LinearNet, SmallCNN
from amulet.models.arithmetic import fast_dtype
from amulet.training import Hook, train
from benchmarks.speed.timing import Row, rows

LR, EPSILON, STEPS = 0.001, 0.05, 10
Epoch = Callable[[], None]
Built = Callable[[], nn.Module]


def measured(repeats: int) -> Iterator[Row]:
    """All of them, a row for each loop."""
    warnings.simplefilter("ignore")  # opacus warns of its generator and of its hooks
    census = load_census().train
    yield from _adversarial(census, repeats)
    table: Built = partial(LinearNet, census.shape, 2)
    bare = {
        "plain loop": _loop(table(), census, "float32", "first", 256),
        "its matrix products alone": _products(table(), census, 256),
    }
    work = "epoch of training, LinearNet on census, batches of 256"
    yield from rows(work, partial(ours, table, census, 256), bare, repeats, {})
    for size in (256, 1024):
        by_hand = {"closed form by hand": _private_by_hand(table(), census, size)}
        yield from _private("LinearNet on census", table, census, size, by_hand, repeats)
    few = max(1, repeats // 2)
    colour = _noise(512)
    network: Built = partial(SmallCNN, colour.shape, 10, norm="none")
    yield from _private("small CNN, 32 x 32 colour", network, colour, 128, {}, few)
    yield from _plain("small CNN, 32 x 32 colour", partial(SmallCNN, colour.shape, 10), colour, few)
    yield from _plain("VGG11, 32 x 32 colour", partial(VGG, colour.shape, 10), _noise(256), few)


def _noise(count: int) -> Records:
    with Stream(0).seed_global():
        return Records.of(torch.rand(count, 3, 32, 32), torch.randint(10, (count,)))


def ours(built: Built, records: Records, batch_size: int, hook: Callable[[], Hook] | None = None) -> float:
    """Seconds of one epoch by the training loop: what the second and third epoch of three add to one, halved."""
    seconds: list[float] = []
    for epochs in (1, 3):
        model, hooks = built(), [hook()] if hook else []
        began = process_time()
        train(
            model,
            records,
            optimizer=Factory("torch.optim.Adam", lr=LR),
            epochs=epochs,
            batch_size=batch_size,
            stream=Stream(0),
            hooks=hooks,
        )
        seconds.append(process_time() - began)
    return (seconds[1] - seconds[0]) / 2


def _adversarial(records: Records, repeats: int) -> Iterator[Row]:
    defense = AdversarialTrainingPGD(epsilon=EPSILON, steps=STEPS)
    built: Built = partial(LinearNet, records.shape, 2)
    fast = fast_dtype(torch.device("cpu"))
    others = {
        f"loop by hand without autograd, {str(dtype).removeprefix('torch.')}": _adversarial_by_hand(
            built(), records, dtype
        )
        for dtype in dict.fromkeys((torch.float32, fast))
    }
    work = "epoch of adversarial training, LinearNet on census"
    yield from rows(work, partial(ours, built, records, 256, defense.hook), others, repeats, {})


def layers_of(model: nn.Module) -> list[nn.Linear]:
    """The dense layers in order."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def _adversarial_by_hand(model: nn.Module, records: Records, dtype: torch.dtype) -> Epoch:
    """PGD by matrix products alone, and Adam on what it found."""
    optimizer, linear = torch.optim.Adam(model.parameters(), lr=LR, fused=True), layers_of(model)
    x, y = records.x, records.y

    def searched(batch: Tensor, labels: Tensor) -> Tensor:
        weights = [layer.weight.detach().to(dtype) for layer in linear]
        biases = [layer.bias.detach().to(dtype) for layer in linear]
        one_hot = F.one_hot(labels, 2).float()
        low, high = (batch - EPSILON).clamp_(min=0), (batch + EPSILON).clamp_(max=1)
        point = (batch + torch.empty_like(batch).uniform_(-EPSILON, EPSILON)).clamp_(0, 1)
        for _ in range(STEPS):
            h, kept = point.to(dtype), list[Tensor]()
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                h = F.linear(h, weight, bias).relu_()
                kept.append(h)
            g = F.linear(h, weights[-1], biases[-1]).float().softmax(1).sub_(one_hot).to(dtype)
            for weight, h in zip(reversed(weights[1:]), reversed(kept), strict=True):
                g = torch.ops.aten.threshold_backward(g @ weight, h, 0)
            point = torch.clamp(point + EPSILON / 4 * (g @ weights[0]).float().sign_(), low, high)
        return point

    def epoch() -> None:
        model.train()
        for index in torch.randperm(len(x)).split(256):
            with torch.no_grad():
                worst = searched(x[index], y[index])
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(worst), y[index]).backward()
            optimizer.step()

    return epoch


def _private(
    name: str, built: Built, records: Records, size: int, others: dict[str, Epoch], repeats: int
) -> Iterator[Row]:
    defense = DPSGD(epsilon=None, noise_multiplier=1.0, max_grad_norm=1.0, batch_size=size, lr=LR)
    ways: dict[str, Any] = {**others}
    try:
        import opacus
    except ImportError:
        print("opacus is not installed: left out")
    else:
        ways |= {
            f"opacus {opacus.__version__}, {mode}": partial(_by_opacus, built, records, size, mode)
            for mode in ("ghost", "hooks")
        }
    work = f"epoch of DP-SGD, {name}, batches of {size:,}"
    yield from rows(work, partial(ours, built, records, size, defense.hook), ways, repeats, {})


def _private_by_hand(model: nn.Module, records: Records, size: int) -> Epoch:
    """Norms of the records' gradients in closed form, without autograd: of dense layers with ReLU between them."""
    optimizer, linear = torch.optim.Adam(model.parameters(), lr=LR, fused=True), layers_of(model)
    x, y = records.x, records.y

    def epoch() -> None:
        for _ in range(round(len(x) / size)):
            index = (torch.rand(len(x)) < size / len(x)).nonzero().squeeze(1)
            h, kept = x[index], list[Tensor]()
            for layer in linear[:-1]:
                kept.append(h)
                h = F.linear(h, layer.weight, layer.bias).relu_()
            kept.append(h)
            logits = F.linear(h, linear[-1].weight, linear[-1].bias)
            g = logits.softmax(1).sub_(F.one_hot(y[index], logits.shape[1]))
            backprops: list[Tensor] = [g]
            for layer, h in zip(reversed(linear[1:]), reversed(kept[1:]), strict=True):
                g = torch.ops.aten.threshold_backward(g @ layer.weight, h, 0)
                backprops.insert(0, g)
            squares = sum(g.square().sum(1) * (h.square().sum(1) + 1) for g, h in zip(backprops, kept, strict=True))
            factors = (1 / (torch.as_tensor(squares).sqrt() + 1e-6)).clamp_(max=1).unsqueeze(1)
            for layer, g, h in zip(linear, backprops, kept, strict=True):
                scaled = g * factors
                layer.weight.grad = (scaled.T @ h).add_(torch.randn_like(layer.weight)).div_(size)
                layer.bias.grad = scaled.sum(0).add_(torch.randn_like(layer.bias)).div_(size)
            optimizer.step()

    def without_graph() -> None:
        with torch.no_grad():
            epoch()

    return without_graph


def _by_opacus(built: Built, records: Records, size: int, mode: str) -> float:
    """Seconds of one epoch with the same Poisson batches from memory, not from its loader."""
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    model = built().train()
    made: Any = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=LR, fused=mode == "ghost"),
        data_loader=DataLoader(TensorDataset(records.x, records.y), batch_size=size),
        criterion=nn.CrossEntropyLoss(),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        grad_sample_mode=mode,
    )
    wrapped, optimizer = made[0], made[1]
    loss: Callable[[Tensor, Tensor], Any] = made[2] if mode == "ghost" else F.cross_entropy
    n = len(records)
    began = process_time()
    for _ in range(round(n / size)):
        index = (torch.rand(n) < size / n).nonzero().squeeze(1)
        optimizer.zero_grad(set_to_none=True)
        loss(wrapped(records.x[index]), records.y[index]).backward()
        optimizer.step()
    return process_time() - began


def _plain(name: str, built: Built, records: Records, repeats: int) -> Iterator[Row]:
    others = {
        f"plain loop, {precision}, channels {layout}": _loop(built(), records, precision, layout)
        for precision in ("float32", "bfloat16")
        for layout in ("first", "last")
    }
    work = f"epoch of training, {name}, batches of 128"
    yield from rows(work, partial(ours, built, records, 128), others, repeats, {})


def _products(model: nn.Module, records: Records, size: int) -> Epoch:
    """What no training of dense layers can do without: forward, and backward to weights and hidden units."""
    weights = [layer.weight.detach() for layer in layers_of(model)]

    def epoch() -> None:
        for batch in records.x.split(size):
            kept = [batch]
            for weight in weights:
                kept.append(kept[-1] @ weight.T)
            gradient = kept.pop()
            for weight, h in zip(reversed(weights), reversed(kept), strict=True):
                _ = gradient.T @ h
                gradient = gradient @ weight if h is not batch else gradient

    return epoch


def _loop(model: nn.Module, records: Records, precision: str, layout: str, size: int = 128) -> Epoch:
    if layout == "last":
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)

    def epoch() -> None:
        model.train()
        for index in torch.randperm(len(records)).split(size):
            x, y = records.x[index], records.y[index]
            if layout == "last":
                x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                logits = model(x)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(logits.float(), y).backward()
            optimizer.step()

    return epoch
