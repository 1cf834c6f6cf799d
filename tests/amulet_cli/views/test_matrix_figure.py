"""The matrix as a picture, where a risk has more than one deciding metric for each attribute."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from rich.console import Console

from amulet_cli.analysis.matrix.entries import interactions
from amulet_cli.config.options import names_of
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


def of_every_risk(folder: Path, seeds: int, defenses: Sequence[str] = ()) -> Figure:
    """Every defence and eight risks, with changes of all signs."""
    names = ("robust_accuracy", "attack_success_rate", "fidelity_kappa", "lira_online.auc", "race.balanced_accuracy")
    names += ("sex.balanced_accuracy", "mse", "distinguishing_accuracy", *(f"race.{one}" for one in TWO))
    results: list[Result] = []
    for k, defense in enumerate(defenses or [name for name in names_of("defense") if name != "none"]):
        for seed in range(seeds):
            before = dict.fromkeys(names, 0.4 + 0.003 * seed)
            after = {name: before[name] + 0.1234 * (i % 3 - 1) + 0.002 * (seed % 2) for i, name in enumerate(names, k)}
            facts = facts_of(names, config())
            facts.metrics = {name: dataclasses.replace(one, decides=True) for name, one in facts.metrics.items()}
            made = MadeUp({"undefended": before, "defended": after}, facts=facts)
            results.append(write(folder, made, seed=seed, chosen=choices(defense, "none")))
    return interaction_matrix(interactions(results))


@pytest.mark.parametrize("seeds", [3, 10])
def test_at_the_width_of_a_page_every_word_is_seven_points_and_in_the_picture(tmp_path: Path, seeds: int) -> None:
    figure = of_every_risk(tmp_path, seeds)
    width, height = figure.get_size_inches()
    assert width <= 7.05
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in shown) * min(7 / width, 1) >= 6.95
    for text in shown:
        box = text.get_window_extent(canvas.get_renderer())
        assert -1 <= box.x0 <= box.x1 <= width * figure.dpi + 1, text.get_text()
        assert -1 <= box.y0 <= box.y1 <= height * figure.dpi + 1, text.get_text()


@pytest.mark.parametrize("seeds", [3, 10])
def test_the_legend_has_every_colour_that_a_cell_has(tmp_path: Path, seeds: int) -> None:
    figure = of_every_risk(tmp_path, seeds)
    (legend,) = figure.findobj(Legend)
    keys = {side(patch.get_facecolor()) for patch in legend.get_patches()}
    cells = {
        side(one.get_facecolor()) for one in figure.axes[0].patches if isinstance(one, Rectangle) and one.get_fill()
    }
    assert cells <= keys
    assert {"up", "down"} <= cells, "the example has both"


def side(colour: Any) -> str:
    """Towards which end of the scale a colour is."""
    red, _, blue = to_rgb(colour)
    return "up" if red > blue + 0.02 else "down" if blue > red + 0.02 else "none"


def test_defences_and_metrics_are_in_words(tmp_path: Path) -> None:
    texts = of_every_risk(tmp_path, 3, ["adv_training"]).findobj(Text)
    shown = " ".join(text.get_text() for text in texts)
    assert "_" not in shown
    assert "adversarial" in shown
    assert "AUC" in shown
