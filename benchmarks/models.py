"""What the architectures cost: weights, memory and processor time for each image or record of a training step.

    python benchmarks/models.py [--models vgg11 cnn ...] [--size 32] [--batch-size 32] [--repeats 2]

The options of conf/model as they are, one thread, Adam, colour images of that size (tables of 42 columns for those
that take tables). `float32` and `bfloat16`, by autocast, are milliseconds of a step per record in torch's layout, and
`last` those with the channels last; `private` is a step of DP-SGD in float32. `kept` is what a step keeps for the
backward pass. Seconds are of the processor, not of the clock; the least of the repeats counts.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn

from amulet.core import Factory, SettingError, Stream
from amulet.membership_inference.defenses import DPSGD
from amulet.membership_inference.defenses.clipping import PerRecord

CONF = Path(__file__).parent.parent / "conf" / "model"
TABLES = ("linearnet", "ft_transformer")
CLASSES = 10


def factory_of(name: str) -> Factory:
    """The option of that name with its own settings."""
    loaded = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert isinstance(loaded, Mapping)
    return Factory.from_mapping({str(key): value for key, value in loaded.items() if key != "about"})


def least(step: Callable[[], None], repeats: int) -> float:
    """Seconds of the quickest of some steps, after one to warm up."""
    seconds: list[float] = []
    for _ in range(repeats + 1):
        began = time.process_time()
        step()
        seconds.append(time.process_time() - began)
    return min(seconds[1:])


def kept(model: nn.Module, x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, the weights left out."""
    weights, places = {w.data_ptr() for w in model.parameters()}, dict[int, int]()

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            places[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logits = model(x)
    del logits
    return sum(places.values())


def measured(name: str, size: int, batch: int, repeats: int) -> str:
    """One row of the table."""
    shape = (42,) if name in TABLES else (3, size, size)
    factory = factory_of(name)
    x, y = torch.rand(batch, *shape), torch.arange(batch) % CLASSES

    def built(made_by: Factory) -> tuple[nn.Module, torch.optim.Optimizer]:
        with Stream(0).seed_global():
            model: nn.Module = made_by.build(input_shape=shape, num_classes=CLASSES)
        return model.train(), torch.optim.Adam(model.parameters(), fused=True)

    def plain(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, *, half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(inputs)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), y).backward()
        optimizer.step()

    def private(model: nn.Module, per_record: PerRecord, optimizer: torch.optim.Optimizer) -> None:
        with per_record.recording() as runs:
            losses = F.cross_entropy(model(x), y, reduction="none")
        gradients = per_record.clipped(losses, runs, 1.0).gradients
        for weight, gradient in zip(per_record.weights, gradients, strict=True):
            weight.grad = gradient
        optimizer.step()

    model, optimizer = built(factory)
    count, memory = sum(p.numel() for p in model.parameters()), kept(model, x) / batch
    steps = [least(lambda half=half: plain(model, optimizer, x, half=half), repeats) for half in (False, True)]
    if x.dim() == 4:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        last = x.contiguous(memory_format=torch.channels_last)
        steps += [least(lambda half=half: plain(model, optimizer, last, half=half), repeats) for half in (False, True)]
    else:
        steps += [math.nan, math.nan]
    model, optimizer = built(DPSGD().adapt(factory))
    per_record = PerRecord(model)
    steps.append(least(lambda: private(model, per_record, optimizer), repeats))
    times = "".join(f"{'-' if math.isnan(seconds) else f'{1000 * seconds / batch:.2f}':>11}" for seconds in steps)
    return f"{name:<16}{count:>12,}{memory / 2**20:>9.2f} MiB{times}"


def main() -> None:
    """Measure and say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "custom")
    parser.add_argument("--models", nargs="+", default=known, choices=known)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    columns = "".join(f"{name:>11}" for name in ("float32", "bfloat16", "last", "last", "private"))
    print(f"{'':<16}{'weights':>12}{'kept':>13}{columns}   ms per record")
    for name in chosen.models:
        try:
            print(measured(name, chosen.size, chosen.batch_size, chosen.repeats), flush=True)
        except SettingError as error:  # an optional package is missing
            print(f"{name:<16}{error}")


if __name__ == "__main__":
    main()
