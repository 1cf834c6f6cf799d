"""How much sequences of evasion attacks find, and what they cost, beside PGD and a peer's AutoAttack.

    python benchmarks/evasion_strength.py --records 1000 --train 6000 --epochs 5 --seeds 0 1

A small convolutional network on Fashion-MNIST, undefended at 0.03 and adversarially trained at 0.1, for each seed. An
attack of a sequence gets the records that withstood those before it. Each row: how many records withstand (in %), the
seconds of the processor (not of the clock), and how often that is PGD's time. The peer is AutoAttack (APGD with
cross-entropy, APGD towards nine classes, FAB towards nine classes, Square with 5,000 queries) as its authors' code has
it (the package pyautoattack, to be installed for this) or as torchattacks has it. The defaults are a small trial.
"""

import argparse
import importlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from amulet.core import Factory, Stream
from amulet.datasets import Records, load_fmnist
from amulet.evasion.attacks import APGD, FAB, EvasionAttack, EvasionPGD, SquareAttack
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import predict
from amulet.training import Recipe

BUDGETS = {"undefended": 0.03, "adversarial": 0.1}
CE, TARGETS = APGD(), APGD(loss="margin", targets=3)
SEQUENCES: dict[str, list[EvasionAttack]] = {
    "pgd": [EvasionPGD()],
    "pgd-restarts": [EvasionPGD(restarts=5)],
    "ce": [CE],
    "ce50": [APGD(steps=50)],
    "margin": [APGD(loss="margin")],
    "ce50-margin50": [APGD(steps=50), APGD(loss="margin", steps=50)],
    "margin-t3": [APGD(loss="margin"), TARGETS],
    "ce50-t1": [APGD(steps=50), APGD(loss="margin", targets=1, steps=50)],
    "ce50-t3": [APGD(steps=50), APGD(loss="margin", targets=3, steps=50)],
    "ce-t3": [CE, TARGETS],
    "ce-dlr3": [CE, APGD(loss="dlr", targets=3)],
    "ce-t9": [CE, APGD(loss="margin", targets=9)],
    "ce-t3-fab3": [CE, TARGETS, FAB()],
    "ce-t9-fab9-square": [CE, APGD(loss="margin", targets=9), FAB(targets=9), SquareAttack(queries=5000)],
}


def standing(model: nn.Module, records: Records, attack: EvasionAttack, stream: Stream) -> Tensor:
    """(n,) bool: which records withstand."""
    parts = [predict(model, x).argmax(1) == records.y[batch] for batch, x in attack.batches(model, records, stream)]
    return torch.cat(parts)


def rows(model: nn.Module, records: Records, epsilon: float, names: list[str]) -> Iterator[tuple[str, float, float]]:
    """Name, robust accuracy, seconds of each sequence; what two begin with in common is run once."""
    known: dict[str, tuple[Tensor, float]] = {"": (predict(model, records).argmax(1) == records.y, 0.0)}
    for name in names:
        path = ""
        for attack in SEQUENCES[name]:
            held, seconds = known[path]
            path = f"{path} + {attack!r}"
            if path not in known:
                index, now = held.nonzero().squeeze(1), held.clone()
                began = time.process_time()
                if len(index):
                    now[index] = standing(model, records.take(index), attack.changed(epsilon=epsilon), Stream(0) / path)
                known[path] = (now, seconds + time.process_time() - began)
        held, seconds = known[path]
        yield name, held.double().mean().item(), seconds


def peer(package: str, model: nn.Module, records: Records, epsilon: float) -> tuple[float, float]:
    """Robust accuracy and processor seconds of a package's AutoAttack."""
    module: Any = importlib.import_module(package)
    torch.manual_seed(0)
    x, y, began = records.inputs(slice(None)), records.y, time.process_time()
    if package == "torchattacks":
        x = module.AutoAttack(model, eps=epsilon, n_classes=10, seed=0)(x, y)
    else:
        attack = module.AutoAttack(model, norm="Linf", eps=epsilon, seed=0, version="standard")
        x = attack.run_standard_evaluation(x, y, batch_size=len(y))
        x = x[0] if isinstance(x, tuple) else x
    seconds = time.process_time() - began
    return (predict(model, x).argmax(1) == y).double().mean().item(), seconds


def victims(given: argparse.Namespace) -> Iterator[tuple[str, nn.Module, Records, float]]:
    """Name, model, test records and budget of each victim."""
    data = load_fmnist(root=given.root, limit=max(given.train, given.records))
    train, test = (part.take(torch.arange(n)) for part, n in ((data.train, given.train), (data.test, given.records)))
    for seed in given.seeds:
        for kind in given.victims:
            defended = (AdversarialTrainingPGD(epsilon=BUDGETS[kind]),) if kind == "adversarial" else ()
            recipe = Recipe(
                architecture=Factory("amulet.models.SmallCNN", channels=given.channels, convs=1),
                num_classes=10,
                optimizer=Factory("torch.optim.Adam", lr=2e-3),
                epochs=given.epochs,
                batch_size=128,
                defenses=defended,
            )
            yield f"{kind}, seed {seed}", recipe.fit(train, Stream(seed)), test, BUDGETS[kind]


def main() -> None:
    """Print the table of each victim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="the folder of Fashion-MNIST; the cache if not given")
    for name, default in (("--records", 300), ("--train", 3000), ("--epochs", 4)):
        parser.add_argument(name, type=int, default=default)
    for name, default in (("--seeds", [0]), ("--channels", [16, 32, 64])):
        parser.add_argument(name, type=int, nargs="+", default=default)
    parser.add_argument("--victims", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--sequences", nargs="+", default=list(SEQUENCES), choices=list(SEQUENCES))
    parser.add_argument("--peers", nargs="*", default=["torchattacks"], choices=["pyautoattack", "torchattacks"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    say = partial(print, flush=True)
    for name, model, records, epsilon in victims(given):
        clean = (predict(model, records).argmax(1) == records.y).double().mean().item()
        say(f"{name}: {len(records):,} records, eps {epsilon}, accuracy {100 * clean:.1f} %")
        unit = 0.0
        for sequence, robust, seconds in rows(model, records, epsilon, given.sequences):
            unit = unit or seconds
            say(f"  {sequence:<26}{100 * robust:>6.1f} %{seconds:>9.1f} s{seconds / unit:>7.1f} times")
        for package in given.peers:
            robust, seconds = peer(package, model, records, epsilon)
            say(f"  {f'AutoAttack, {package}':<26}{100 * robust:>6.1f} %{seconds:>9.1f} s{seconds / unit:>7.1f} times")


if __name__ == "__main__":
    main()
