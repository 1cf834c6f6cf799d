"""Made-up runs with evidence, for figures and the page."""

from pathlib import Path
from typing import Any

import numpy as np

from amulet_cli.results.result import VICTIMS, Result
from tests.helpers.made_up_results import MadeUp, choices, config, typical, write

LIRA = {"attack._target_": "amulet.membership_inference.attacks.LiRA"}
FAIR = {"attack._target_": "amulet.discriminatory_behavior.attacks.DiscriminatoryBehavior"}
INVERSION = {"attack._target_": "amulet.data_reconstruction.attacks.ModelInversion"}


def sweep(folder: Path, seeds: int = 3, epsilons: tuple[float, ...] = (0.01, 0.03, 0.1), defense: str = "") -> None:
    """Adversarial training over its budget, against model extraction."""
    for epsilon in epsilons:
        for seed in range(seeds):
            chosen = choices(defense=defense or "adv_training")
            write(folder, typical(seed, epsilon), seed=seed, chosen=chosen, overrides={"defense.epsilon": epsilon})


def in_memory(cells: int, seeds: int) -> list[Result]:
    """A sweep without files."""
    made: list[Result] = []
    for k in range(cells):
        epsilon = round(0.001 * (k + 1), 3)
        for seed in range(seeds):
            outcome = typical(seed, epsilon)
            made.append(
                Result(
                    folder=Path(f"outputs/{k}/seed={seed}"),
                    state="done",
                    seed=seed,
                    choices=choices(),
                    overrides={"defense.epsilon": epsilon},
                    config=config(seed, **{"defense.epsilon": epsilon}),
                    metrics=outcome.metrics,
                    baselines=outcome.baselines,
                    intervals=outcome.intervals,
                    warnings=(f"undefended: 16 shadow models are few ({seed})",),
                    environment={"python": "3.11"},
                )
            )
    return made


def membership(folder: Path, seed: int = 0, n: int = 400) -> Result:
    """LiRA's scores of n records, half of them members."""
    rng = np.random.default_rng(seed)
    members = np.arange(n) < n // 2
    arrays: dict[str, Any] = {}
    for victim, gain in zip(VICTIMS, (1.0, 0.3), strict=True):
        arrays[f"{victim}.membership_inference.members"] = members
        arrays[f"{victim}.membership_inference.scores.lira_online"] = rng.normal(gain * members)
    metrics = {"undefended": {"lira_online.auc": 0.76 + seed / 100}, "defended": {"lira_online.auc": 0.58 + seed / 100}}
    chosen = choices(defense="dp_sgd", attack="lira")
    return write(folder, MadeUp(metrics, arrays=arrays), seed=seed, chosen=chosen, overrides=LIRA)


def people(folder: Path, seed: int = 0, sensitive: tuple[str, ...] = ("race", "sex")) -> Result:
    """Answers to people of two attributes; the manifest counts them, the configuration names them."""
    rng = np.random.default_rng(seed)
    groups = np.stack([rng.random(300) < 0.9, rng.random(300) < 0.6], axis=1).astype(np.int64)
    labels = (rng.random(300) < 0.4).astype(np.int64)
    arrays: dict[str, Any] = {}
    for victim in VICTIMS:
        answers = np.where(rng.random(300) < 0.8, labels, 1 - labels)
        parts = {"groups": groups, "labels": labels, "answers": answers}
        arrays |= {f"{victim}.discriminatory_behavior.{name}": array for name, array in parts.items()}
    counts = {name: {str(v): int((groups[:, i] == v).sum()) for v in (0, 1)} for i, name in enumerate(("race", "sex"))}
    described = {"favourable": [1], "groups": counts}
    metrics = {
        victim: {"race.equalized_odds_difference": 0.1, "sex.equalized_odds_difference": 0.2 + 0.1 * i}
        for i, victim in enumerate(VICTIMS)
    }
    made = MadeUp(metrics, arrays=arrays, manifest={"discriminatory_behavior": dict.fromkeys(VICTIMS, described)})
    chosen = choices(attack="discriminatory_behavior")
    return write(folder, made, seed=seed, chosen=chosen, overrides={**FAIR, "dataset.sensitive": list(sensitive)})


def pictures(folder: Path, seed: int = 0) -> Result:
    """Class means and reconstructions of three classes, 8 x 8 in grey."""
    rng = np.random.default_rng(seed)
    means = rng.integers(0, 255, (3, 8, 8, 1), dtype=np.uint8)
    arrays: dict[str, Any] = {}
    for victim in VICTIMS:
        name = f"{victim}.data_reconstruction.picture.reconstructions"
        arrays[f"{name}.class mean"] = means
        arrays[f"{name}.reconstruction"] = rng.integers(0, 255, (3, 8, 8, 1), dtype=np.uint8)
    metrics = {"undefended": {"mse": 0.05}, "defended": {"mse": 0.07}}
    made = MadeUp(metrics, arrays=arrays, manifest={"dataset": {"labels": ["Shirt", "<b>", "$x"]}})
    return write(folder, made, seed=seed, chosen=choices(attack="model_inversion"), overrides=INVERSION)
