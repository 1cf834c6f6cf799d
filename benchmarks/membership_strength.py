"""How well each membership attack tells members from others: a small CNN on 1,000 of 2,000 Fashion-MNIST images.

    python benchmarks/membership_strength.py                              # LiRA's scores, 16 shadow models
    python benchmarks/membership_strength.py --queries 4 --seeds 0 1 2    # each image asked four times
    python benchmarks/membership_strength.py --augment --queries 4        # the same of a victim trained so
    python benchmarks/membership_strength.py --attack LabelOnly

Prints the AUC and the true positive rate at 1 % false positives with their 95 % intervals.
"""

import argparse
import dataclasses
import time

import torch

import amulet.membership_inference as attacks
from amulet.core import Factory, Stream
from amulet.datasets import load_fmnist
from amulet.datasets.split import stratified_split
from amulet.membership_inference import protocol
from amulet.training import DataSplits, MemoryStore, Recipe, Runtime, Victim

NET = {"channels": [8, 16], "convs": 1, "norm": "batch", "pooled": 7, "hidden": [256]}


def splits_of(seed: int, root: str | None, *, augment: bool) -> DataSplits:
    """2,000 images as the training split, with the recipe of a network that memorises half of them."""
    data = load_fmnist(root=root)
    (drawn,) = stratified_split(data.train.y, [2000], Stream(seed).generator())
    data = dataclasses.replace(data, train=data.train.take(drawn))
    recipe = Recipe(
        architecture=Factory("amulet.models.SmallCNN", **NET),
        num_classes=10,
        optimizer=Factory("torch.optim.Adam", lr=0.001),
        epochs=20,
        batch_size=32,
        augmentation=(Factory("amulet.training.augmentation.FlipCrop", padding=1),) if augment else (),
        precision="float32",
        runtime=Runtime(store=MemoryStore()),
    )
    halves = data.train.take(torch.arange(1000)), data.train.take(torch.arange(1000, 2000))
    return DataSplits(
        data=data,
        victim_records=halves[0],
        adversary_records=halves[1],
        stream=Stream(seed),
        runtime=recipe.runtime,
        plain_recipe=recipe,
    )


def main() -> None:
    """Attack a victim for each seed and print its numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="where Fashion-MNIST is")
    parser.add_argument("--attack", default="LiRA", help="a class of amulet.membership_inference")
    parser.add_argument("--queries", type=int, help="questions about each image")
    parser.add_argument("--augment", action="store_true", help="train on shifted and mirrored images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    chosen = parser.parse_args()
    attack = getattr(attacks, chosen.attack)(**({"queries": chosen.queries} if chosen.queries else {}))
    for seed in chosen.seeds:
        splits, began = splits_of(seed, chosen.root, augment=chosen.augment), time.perf_counter()
        victim = Victim("undefended", splits.plain_recipe, splits.victim_records, splits.stream / "victim")
        evidence = protocol.assess(victim, attack, splits)
        measured = protocol.measure(evidence)
        print(f"seed {seed}: {evidence.deciding} decides, {time.perf_counter() - began:.0f} s")
        for name in evidence.scores:
            shown = [f"{name}.auc", f"{name}.tpr_at_1pct_fpr"]
            numbers = ("{:.3f} ({:.3f} to {:.3f})".format(measured.metrics[m], *measured.intervals[m]) for m in shown)
            print(f"  {name:14}", *numbers, flush=True)


if __name__ == "__main__":
    main()
