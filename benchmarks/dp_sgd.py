"""One epoch of DP-SGD on census beside plain SGD at the same batch size and beside opacus, on one thread.

    python benchmarks/dp_sgd.py [--batch-size 256 1024] [--repeats 5] [--without-opacus]

LinearNet 128-256-128 and Adam on the 23,223 training records. All ways take turns within one process, and the ratio is
of medians, so that what else the machine does weighs on all of them; accountants and imports are left out of it.
Opacus gets the same in-memory Poisson batches as ours, not its loader. Seconds are of the processor, not of the clock.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import Factory, Stream
from amulet.datasets import Records, load_census
from amulet.membership_inference.defenses import DPSGD
from amulet.models import LinearNet
from amulet.training import train

NOISE, NORM, LR = 1.0, 1.0, 0.001


def ours(records: Records, batch_size: int, *, private: bool) -> float:
    """Seconds of one epoch by the training loop: of two epochs those that the second adds."""
    seconds: list[float] = []
    for epochs in (1, 3):
        model = LinearNet(records.shape, 2)
        defense = DPSGD(epsilon=None, noise_multiplier=NOISE, max_grad_norm=NORM, batch_size=batch_size, lr=LR)
        began = time.process_time()
        train(
            model,
            records,
            optimizer=Factory("torch.optim.Adam", lr=LR),
            epochs=epochs,
            batch_size=batch_size,
            stream=Stream(0),
            hooks=[defense.hook()] if private else [],
        )
        seconds.append(time.process_time() - began)
    return (seconds[1] - seconds[0]) / 2


def opacus(records: Records, batch_size: int, mode: str) -> float:
    """Seconds of one epoch by opacus' hooks (`hooks`), `functorch`, or its ghost clipping (`ghost`)."""
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    model = LinearNet(records.shape, 2)
    made: Any = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=LR, fused=mode == "ghost"),
        data_loader=DataLoader(TensorDataset(records.x, records.y), batch_size=batch_size),
        criterion=nn.CrossEntropyLoss(),
        noise_multiplier=NOISE,
        max_grad_norm=NORM,
        grad_sample_mode=mode,
    )
    wrapped, optimizer = made[0], made[1]
    loss: Callable[[Tensor, Tensor], Tensor] = made[2] if mode == "ghost" else F.cross_entropy
    n = len(records)
    began = time.process_time()
    for _ in range(round(n / batch_size)):
        index = (torch.rand(n) < batch_size / n).nonzero().squeeze(1)
        optimizer.zero_grad(set_to_none=True)
        loss(wrapped(records.x[index]), records.y[index]).backward()
        optimizer.step()
    return time.process_time() - began


def main() -> None:
    """Measure and say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--without-opacus", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # opacus warns of its generator and of its hooks
    records = load_census().train
    print(f"torch {torch.__version__}, one thread, {torch.backends.cpu.get_cpu_capability()}")
    for size in asked.batch_size:
        ways: dict[str, Callable[[], float]] = {
            "plain SGD": lambda size=size: ours(records, size, private=False),
            "amulet DP-SGD": lambda size=size: ours(records, size, private=True),
        }
        if not asked.without_opacus:
            for mode in ("ghost", "hooks", "functorch"):
                ways[f"opacus, {mode}"] = lambda size=size, mode=mode: opacus(records, size, mode)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.repeats):
            for name, way in ways.items():
                seconds[name].append(way())
        plain = statistics.median(seconds["plain SGD"])
        print(f"\nbatch size {size}, one epoch of {len(records)} records, median of {asked.repeats}")
        for name, found in seconds.items():
            median = statistics.median(found)
            print(f"  {name:20} {median:7.3f} s   {median / plain:6.2f} times plain SGD")


if __name__ == "__main__":
    main()
