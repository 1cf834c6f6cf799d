"""kNN-Shapley beside the plain loop over the same distances: time, memory, largest difference.

    python benchmarks/knn_shapley.py [--records 11611] [--reference 5000] [--features 128] [--loop 20]

Synthetic features, of which a tenth of the records repeat another's, as in census. The loop of Jia et al. (VLDB 2019,
Theorem 1) runs on the first `--loop` reference records, and its time is scaled up to all of them.
"""

import argparse
import resource
import sys
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amulet.poisoning.defenses import knn_shapley


def loop(x: Tensor, y: Tensor, reference: Tensor, wanted: Tensor, k: int) -> NDArray[np.float64]:
    """The recursion as published, ties by position."""
    n, values = len(x), np.zeros(len(x))
    features, labels = x.double().numpy(), y.numpy()
    for point, label in zip(reference.double().numpy(), wanted.numpy(), strict=True):
        difference = features - point
        order = np.argsort(np.einsum("ij,ij->i", difference, difference), kind="stable")
        right = (labels[order] == label).astype(float).tolist()
        s = [0.0] * n
        s[-1] = right[-1] * min(k, n) / (k * n)
        for i in range(n - 1, 0, -1):
            s[i - 1] = s[i] + (right[i - 1] - right[i]) / k * min(k, i) / i
        values[order] += s
    return values / len(reference)


def peak() -> float:
    """The largest resident memory so far, MB (Linux counts in KB, macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Measure and say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("records", 11611), ("reference", 5000), ("features", 128), ("loop", 20), ("k", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(asked.records, asked.features, generator=generator).relu()
    x[-(asked.records // 10) :] = x[: asked.records // 10]
    reference = torch.randn(asked.reference, asked.features, generator=generator).relu()
    y, wanted = (torch.randint(0, 2, (len(part),), generator=generator) for part in (x, reference))
    knn_shapley(x[:100], y[:100], reference[:10], wanted[:10], asked.k)

    before, began, clock = peak(), time.process_time(), time.perf_counter()
    knn_shapley(x, y, reference, wanted, asked.k)
    seconds, elapsed, memory = time.process_time() - began, time.perf_counter() - clock, peak() - before
    some = slice(0, asked.loop)
    began = time.process_time()
    published = loop(x, y, reference[some], wanted[some], asked.k)
    whole = (time.process_time() - began) / asked.loop * asked.reference
    ours = knn_shapley(x, y, reference[some], wanted[some], asked.k)
    difference = np.abs(published - ours).max()
    print(f"{asked.records} records, {asked.reference} reference records, {asked.features} features, k = {asked.k}")
    print(
        f"  vectorised         {seconds:8.2f} s of one core ({elapsed:.2f} s by the clock), {memory:.0f} MB more memory"
    )
    print(f"  plain loop         {whole:8.2f} s of one core, scaled up from {asked.loop} reference records")
    print(f"  ratio              {whole / seconds:8.1f}")
    print(f"  largest difference {difference:8.1e}")


if __name__ == "__main__":
    main()
