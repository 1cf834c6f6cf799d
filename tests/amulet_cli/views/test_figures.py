"""Figures: what is drawn is what was computed, and every file of them is clean."""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from scipy import stats

from amulet_cli.analysis.groups import aggregate
from amulet_cli.analysis.rows import Row
from amulet_cli.base.errors import UsageError
from amulet_cli.results import evidence
from amulet_cli.results.evidence import RATES, Ranking
from amulet_cli.results.evidence_images import rows_by_file
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.figures import style
from amulet_cli.views.figures.groups import group_rates
from amulet_cli.views.figures.reconstruction import reconstruction_grid
from amulet_cli.views.figures.roc import hit_rates, roc_curves
from amulet_cli.views.figures.sweep import robustness_curve, sweep_curve
from tests.helpers.made_up_results import MadeUp, typical, write
from tests.helpers.report_toys import membership, people, pictures, sweep


def rows_of(folder: Path, metric: str) -> list[Row]:
    return [row for row in aggregate(find_results([folder])).rows if row.metric == metric]


def line(figure: Figure, label: str) -> Any:
    [found] = [line for axes in figure.axes for line in axes.lines if line.get_label() == label]
    return found


def mann_whitney(members: np.ndarray, scores: np.ndarray) -> float:
    """The AUC as the share of pairs in which the member has the higher score."""
    inside, outside = scores[members], scores[~members]
    return float(stats.mannwhitneyu(inside, outside).statistic) / (len(inside) * len(outside))


def simple(label: str = "a") -> Figure:
    figure = style.new(3, 2)
    axes = style.panel(figure)
    axes.plot([0, 1], [0, 1], marker="o", label=style.literal(label))
    style.legend(axes)
    return figure


def test_an_svg_says_what_it_shows_and_escapes_it() -> None:
    svg = style.as_svg(simple("<script>alert(1)</script> & $x_{"), 'A "title" <i>', "In words & more <b>")
    assert svg.startswith("<svg ")
    assert 'role="img"' in svg
    assert "<title" in svg
    assert "A &quot;title&quot; &lt;i&gt;" in svg
    assert "In words &amp; more &lt;b&gt;" in svg
    for name in re.findall(r"aria-labelledby=\"([^\"]+)\"", svg)[0].split():
        assert f'id="{name}"' in svg
    assert "<script" not in svg
    assert "currentColor" in svg
    assert style.INK not in svg


def test_a_notebook_shows_a_figure_by_itself() -> None:
    data, size = DisplayFormatter().format(style.new(3, 2))
    assert Image.open(io.BytesIO(data["image/png"])).size == (600, 400)
    assert size["image/png"] == {"width": 288, "height": 192}


def test_a_figure_in_which_nothing_could_be_drawn_has_no_legend() -> None:
    axes = style.panel(style.new(3, 3))
    style.legend(axes)  # a warning is an error here
    assert axes.get_legend() is None


def test_an_svg_refers_to_nothing_outside() -> None:
    svg = style.as_svg(simple(), "a", "b").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in svg
    assert "<metadata" not in svg
    assert "<style" not in svg
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', svg))


def test_the_same_figure_is_the_same_text_and_ids_never_clash() -> None:
    first, again, other = (style.as_svg(simple(), title, "") for title in ("a", "a", "b"))
    assert first == again
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert len(re.findall(r'\bid="([^"]+)"', first)) == len(ids[0])
    for target in re.findall(r'(?:href="|url\()#([^")]+)', first):
        assert target in ids[0]


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = mpl.rcParams.copy()
    style.as_svg(simple(), "a", "b")
    assert {**mpl.rcParams.copy(), "backend": None} == {**before, "backend": None}  # it is settled at the first look
    sources = Path(style.__file__).parent.glob("*.py")
    assert not any(re.search(r"import.*pyplot|rcParams", source.read_text(encoding="utf-8")) for source in sources)


@pytest.mark.parametrize(("name", "start"), [("f.svg", b"<?xml"), ("f.pdf", b"%PDF"), ("f.PNG", b"\x89PNG")])
def test_a_file_is_whole_and_the_same_every_time(tmp_path: Path, name: str, start: bytes) -> None:
    path = tmp_path / "new" / name
    style.save(simple(), path)
    content = path.read_bytes()
    assert content.startswith(start)
    style.save(simple(), path)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_another_ending_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.svg, \.pdf, \.png") as error:
        style.save(simple(), tmp_path / "f.pgn")
    assert error.value.meant == [str(tmp_path / "f.png")]
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        style.save(simple(), tmp_path / "file" / "f.png")


def test_a_sweep_shows_means_and_their_intervals(tmp_path: Path) -> None:
    sweep(tmp_path, 4)
    figure = sweep_curve(rows_of(tmp_path, "fidelity"), "defense.epsilon")
    for victim in VICTIMS:
        values = np.array([[typical(s, e).metrics[victim]["fidelity"] for s in range(4)] for e in (0.01, 0.03, 0.1)])
        x, y = line(figure, victim).get_data()
        assert x.tolist() == [0.01, 0.03, 0.1]
        assert y == pytest.approx(values.mean(axis=1))
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    undefended = [typical(s, 0.01).metrics["undefended"]["fidelity"] for s in range(4)]
    low, high = stats.t.interval(0.95, 3, np.mean(undefended), stats.sem(undefended))
    at_first = np.asarray(band)[np.isclose(np.asarray(band)[:, 0], 0.01), 1]
    assert (at_first.min(), at_first.max()) == pytest.approx((low, high))


def test_values_far_apart_get_a_logarithmic_axis(tmp_path: Path) -> None:
    sweep(tmp_path / "far", 1, (0.001, 0.1, 1.0))
    sweep(tmp_path / "near", 1, (0.01, 0.1))
    assert sweep_curve(rows_of(tmp_path / "far", "fidelity"), "defense.epsilon").axes[0].get_xscale() == "log"
    assert sweep_curve(rows_of(tmp_path / "near", "fidelity"), "defense.epsilon").axes[0].get_xscale() == "linear"


def test_robustness_stands_beside_the_accuracy_without_an_attack(tmp_path: Path) -> None:
    sweep(tmp_path, 2)
    robust, clean = rows_of(tmp_path, "robust_accuracy"), rows_of(tmp_path, "test_accuracy")
    figure = robustness_curve(robust, clean, "defense.epsilon")
    attacked = line(figure, "defended, attacked").get_ydata()
    assert attacked == pytest.approx([row.summaries["defended"].mean for row in robust])
    assert line(figure, "undefended, not attacked").get_ydata() == pytest.approx(
        [row.summaries["undefended"].mean for row in clean]
    )


def test_a_marker_at_zero_is_whole(tmp_path: Path) -> None:
    for seed in range(2):
        for epsilon in (0.1, 0.3):
            values = {"undefended": {"robust_accuracy": 0.0}, "defended": {"robust_accuracy": 0.5}}
            write(tmp_path, MadeUp(values), seed=seed, overrides={"defense.epsilon": epsilon})
    axes = robustness_curve(rows_of(tmp_path, "robust_accuracy"), [], "defense.epsilon").axes[0]
    low, high = axes.get_ylim()
    assert low < -0.02 * high
    assert min(axes.get_yticks()) == 0


def test_axes_are_in_words(tmp_path: Path) -> None:
    sweep(tmp_path, 2)
    axes = sweep_curve(rows_of(tmp_path, "fidelity_kappa"), "defense.epsilon").axes[0]
    assert axes.get_xlabel() == "epsilon of the defence"
    assert "_" not in axes.get_ylabel()


def test_hits_at_a_rate_are_those_of_the_best_threshold_that_keeps_to_it() -> None:
    rng = np.random.default_rng(0)
    members, scores = rng.random(60) < 0.5, np.round(rng.normal(size=60), 1)  # with ties
    rates = np.array([0.0, 0.05, 0.2, 0.61, 1.0])
    found = hit_rates(Ranking(members, scores), rates)
    for rate, hit in zip(rates, found, strict=True):
        best = 0.0
        for threshold in [np.inf, *scores]:
            above = scores >= threshold
            if above[~members].mean() <= rate:
                best = max(best, float(above[members].mean()))
        assert hit == pytest.approx(best)


def test_a_roc_begins_where_the_sample_resolves_it(tmp_path: Path) -> None:
    results = [membership(tmp_path, seed) for seed in range(3)]
    found = [evidence.rankings(result) for result in results]
    figure = roc_curves({victim: [one[victim] for one in found] for victim in VICTIMS})
    axes = figure.axes[0]
    assert axes.get_xlim() == pytest.approx((10 / 200, 1))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (name,) = (str(one.get_label()) for one in axes.lines if str(one.get_label()).startswith("undefended"))
    areas = [mann_whitney(one["undefended"].members, one["undefended"].scores) for one in found]
    assert name == f"undefended, AUC {np.mean(areas):.3f}"
    x, y = line(figure, name).get_data()
    expected = np.mean([hit_rates(one["undefended"], x) for one in found], axis=0)
    assert y == pytest.approx(expected)
    alone = roc_curves({"undefended": [found[0]["undefended"]]})
    band = np.asarray(alone.axes[0].collections[0].get_paths()[0].vertices)
    hits = round(float(hit_rates(found[0]["undefended"], np.array([0.05]))[0]) * 200)
    exact = stats.binomtest(hits, 200).proportion_ci(method="exact")
    assert band[np.isclose(band[:, 0], 0.05), 1].max() == pytest.approx(exact.high)


def test_a_score_that_each_victim_has_chosen_is_found_by_its_manifest(tmp_path: Path) -> None:
    members = np.arange(40) < 20
    arrays: dict[str, Any] = {}
    for i, victim in enumerate(VICTIMS):
        arrays[f"{victim}.membership_inference.members"] = members
        arrays |= {f"{victim}.membership_inference.scores.{s}": np.arange(40.0) + i + len(s) for s in ("rmia", "loss_")}
    meant = dict(zip(VICTIMS, ("rmia", "loss_"), strict=True))
    named = {victim: {"score_names": {"strongest": score}} for victim, score in meant.items()}
    result = write(
        tmp_path, MadeUp({victim: {} for victim in VICTIMS}, arrays=arrays, manifest={"membership_inference": named})
    )
    found = evidence.rankings(result, "strongest")
    for victim, score in meant.items():
        assert np.array_equal(found[victim].scores, arrays[f"{victim}.membership_inference.scores.{score}"])
    assert evidence.rankings(result, "weakest") == {}


@pytest.mark.parametrize("sensitive", [("race", "sex"), ("sex", "race"), ()])
def test_rates_of_groups_are_counted_by_hand_and_bear_the_right_name(
    tmp_path: Path, sensitive: tuple[str, ...]
) -> None:
    result = people(tmp_path, sensitive=sensitive)
    arrays = evidence.arrays(result)
    found = {rates.attribute: rates for rates in evidence.group_rates(result)}
    assert set(found) == {"race", "sex"}
    for column, name in enumerate(("race", "sex")):
        group = arrays["defended.discriminatory_behavior.groups"][:, column]
        answers = arrays["defended.discriminatory_behavior.answers"]
        labels = arrays["defended.discriminatory_behavior.labels"]
        for value in (0, 1):
            mine = group == value
            hand = [answers[mine].mean(), answers[mine & (labels == 1)].mean(), answers[mine & (labels == 0)].mean()]
            assert found[name].rates["defended"][:, value] == pytest.approx(hand)
            assert found[name].records[value] == mine.sum()
    figure = group_rates([found["race"]])
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(RATES)


def test_groups_bear_the_names_of_their_values(tmp_path: Path) -> None:
    result = people(tmp_path)
    named = dataclasses.replace(
        result, manifest={**result.manifest, "dataset": {"values": {"race": ["Other", "White"]}}}
    )
    found = {rates.attribute: rates for rates in evidence.group_rates(named)}
    assert found["race"].groups == ("Other", "White")
    assert found["sex"].groups == ("sex 0", "sex 1"), "nobody said what its values mean"
    words = [text.get_text() for text in group_rates([found["race"]]).findobj(Text)]
    assert any("White" in word for word in words)
    assert not any("race 1" in word for word in words)


def test_a_reconstruction_stands_below_its_class_mean(tmp_path: Path) -> None:
    result = pictures(tmp_path)
    rows = rows_by_file(evidence.arrays(result, [".picture."]))["reconstructions"]
    figure = reconstruction_grid(rows, result.manifest["dataset"]["labels"], most=2)
    images = [axes.images[0].get_array() for axes in figure.axes]
    assert len(images) == 3 * 2
    assert np.array_equal(np.asarray(images[0]), rows[0].images[0][:, :, 0])
    svg = style.as_svg(figure, "a", "b")
    assert svg.count("<image") == 6
    assert "&lt;b&gt;" in svg
    style.save(figure, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.size[0] > 300


def test_a_run_without_readable_evidence_has_none(tmp_path: Path) -> None:
    result = write(tmp_path, typical())
    assert evidence.rankings(result) == {}
    assert evidence.group_rates(result) == []
    (result.folder / "evidence.npz").write_bytes(b"no archive")
    assert evidence.arrays(result) == {}
    assert evidence.names(result) == []
    (result.folder / "evidence.npz").unlink()
    assert evidence.arrays(result) == {}
