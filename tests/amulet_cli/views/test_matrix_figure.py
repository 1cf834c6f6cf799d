"""The matrix as a picture, where a risk has more than one deciding metric for each attribute."""

import dataclasses
import io
from pathlib import Path
from typing import cast

from matplotlib.text import Text
from rich.console import Console

from amulet_cli.analysis.matrix.entries import interactions
from amulet_cli.results.result import Result
from amulet_cli.results.schema1 import facts_of
from amulet_cli.views.figures.matrix import interaction_matrix
from amulet_cli.views.matrix_table import matrix_table
from amulet_cli.views.run_table import result_table
from tests.helpers.made_up_results import MadeUp, choices, config, write

OVERRIDES = {
    "defense._target_": "amulet.discriminatory_behavior.defenses.AdversarialDebiasing",
    "attack._target_": None,
}
TWO = ("demographic_parity_difference", "equalized_odds_difference")


def run(folder: Path, seed: int, metrics: tuple[str, ...]) -> Result:
    names = [f"{attribute}.{metric}" for attribute in ("race", "sex") for metric in metrics]
    values = [0.1 + 0.01 * seed + 0.02 * i for i in range(len(names))]
    numbers = {"undefended": dict(zip(names, values, strict=True))}
    numbers["defended"] = {name: value + 0.05 for name, value in numbers["undefended"].items()}
    facts = facts_of(names, config(**OVERRIDES))
    facts.defenses = (dataclasses.replace(facts.defenses[0], pursues=TWO[1:]),)
    facts.metrics = {name: dataclasses.replace(one, decides=True) for name, one in facts.metrics.items()}
    chosen = choices("adv_debiasing", "none")
    return write(folder, MadeUp(numbers, facts=facts), seed=seed, chosen=chosen, overrides=OVERRIDES)


def words(folder: Path, metrics: tuple[str, ...]) -> list[str]:
    figure = interaction_matrix(interactions([run(folder, seed, metrics) for seed in range(3)]))
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_two_metrics_of_an_attribute_are_told_apart(tmp_path: Path) -> None:
    found = words(tmp_path, TWO)
    for heading in ("race DPD", "race EOD †", "sex DPD", "sex EOD †", "DPD, EOD"):
        assert found.count(heading) == 1, "the one that the defence pursues is marked"
    assert any("EOD: equalized odds difference" in text for text in found), "the legend explains it"


def test_one_metric_of_each_attribute_needs_no_name(tmp_path: Path) -> None:
    found = words(tmp_path, TWO[1:])
    assert any(text.startswith("race +") for text in found)
    assert not any("EOD" in text for text in found)


def test_tables_mark_what_the_defence_pursues(tmp_path: Path) -> None:
    console = Console(width=120, file=io.StringIO(), color_system=None)
    results = [run(tmp_path, seed, TWO) for seed in range(3)]
    console.print(matrix_table(interactions(results), 120))
    console.print(result_table(results[0]))
    text = cast(io.StringIO, console.file).getvalue()
    flat = " ".join(text.split())
    assert "† what the defence sets out to lower" in flat
    assert "† what the defence sets out to improve" in flat
    assert text.count("†") == 2 * (2 + 1), "two rows of each table, and its legend"
    assert text.count("equalized_odds_difference ↑ †") == 2
