"""The paper's experiments: each composes in both sizes, the quick one is smaller, and a tiny one fills the tables."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config import schema
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import RunRequest, compose
from amulet_cli.config.hydra_setup import conf_dir
from amulet_cli.config.series import parts
from amulet_cli.paper.interactions import findings
from amulet_cli.paper.layouts import LAYOUTS
from amulet_cli.paper.tables import compare
from amulet_cli.results.reading import find_results
from tests.helpers.sweeps import jobs_with_every_word

EXPERIMENT, QUICK = conf_dir() / "experiment", conf_dir() / "paper_size" / "quick"
OF_THE_PAPER = re.compile(r"(table[4-8]|figure[34]|in_text|badnets_fmnist|attributes_census)")


def content(file: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def names(*, series: bool) -> list[str]:
    found = sorted(file.stem for file in EXPERIMENT.glob("*.yaml") if OF_THE_PAPER.match(file.stem))
    return [n for n in found if ("series" in content(EXPERIMENT / f"{n}.yaml")) == series and n != "table8_baseline"]


def composed(*words: str) -> RunRequest:
    return compose(parse(words))


def size(config: Mapping[str, Any], jobs: int) -> dict[str, float]:
    """What a run costs, by its configuration, and how many runs there are."""
    attack = config["metric"].get("evasion", {}).get("attack", {})
    return {
        "jobs": jobs,
        "epochs": config["epochs"],
        "training steps": config["defense"].get("steps", 0) or 0,
        "attack steps": attack.get("steps", config["attack"].get("steps", 0) or 0),
        "records": config["dataset"]["limit"] or 10**9,
        "width": config["model"].get("width", 1.0),
        "shadows": config["attack"].get("n_shadow", 0) or 0,
    }


def test_every_table_and_figure_has_its_experiment() -> None:
    there = {*names(series=False), *names(series=True)}
    for name in ("table4", "table5", "table6", "table7", "table8", "figure3", "figure4", "in_text"):
        assert name in there
    for table, datasets in {"table6": "census lfw", "table7": "census fmnist lfw cifar10"}.items():
        assert {f"{table}_{dataset}" for dataset in datasets.split()} <= there
    assert {f"table8_{dataset}" for dataset in ("census", "fmnist", "lfw", "cifar10")} <= there


@pytest.mark.parametrize("name", names(series=False))
def test_both_sizes_compose_and_quick_is_no_larger(name: str) -> None:
    full, many = jobs_with_every_word(f"+experiment={name}")
    quick, few = jobs_with_every_word(f"+experiment={name}", "+paper_size=quick")
    for job in (*full, *quick):
        schema.check(job.config)
    assert {job.config["seed"] for job in full} == set(range(10)), "the paper averages ten runs"
    before, after = size(full[0].config, many), size(quick[0].config, few)
    assert {key for key in before if after[key] > before[key]} == set()
    assert full[0].config["dataset"]["_target_"] == quick[0].config["dataset"]["_target_"]


def test_full_is_what_an_experiment_is_without_the_word() -> None:
    words = ("+experiment=table7_census", "seed=0")
    assert composed(*words, "+paper_size=full").jobs[0].config == composed(*words).jobs[0].config


@pytest.mark.parametrize("name", names(series=False))
def test_what_quick_cuts_is_said(name: str) -> None:
    file = QUICK / f"{name}.yaml"
    assert content(file)["about"]["line"].startswith(name)
    assert file.read_text(encoding="utf-8").splitlines()[1].startswith("# ")


def test_the_size_counts_wherever_it_stands() -> None:
    for words in (
        ("+experiment=table7_census", "+paper_size=quick"),
        ("+paper_size=quick", "+experiment=table7_census"),
    ):
        request = composed(*words)
        assert {job.config["epochs"] for job in request.jobs} == {50}
        assert {job.config["defense"]["steps"] for job in request.jobs} == {7}
    (job,) = composed(
        "+paper_size=quick", "+experiment=table7_census", "epochs=3", "seed=0", "defense.epsilon=0.1"
    ).jobs
    assert job.config["epochs"] == 3, "the command line has the last word"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["+paper_size=quick"], "`\\+paper_size=quick` cuts down one experiment"),
        (["+paper_size=quick", "+experiment=smoke"], "there is no paper_size quick `smoke`"),
        (["+paper_size=quik", "+experiment=table7_census"], "quik"),
        (["+experiment=table7,table8"], "sweeps over a series"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        composed(*words)


# The paper's settings.


@pytest.mark.parametrize("name", [f"table7_{dataset}" for dataset in ("census", "fmnist", "lfw", "cifar10")])
def test_table_7_is_the_papers(name: str) -> None:
    request = composed(f"+experiment={name}")
    config = request.jobs[0].config
    assert {job.config["defense"]["epsilon"] for job in request.jobs} == {0.01, 0.03, 0.05, 0.10}
    assert (config["defense"]["steps"], config["defense"]["rel_step_size"]) == (40, 0.25)
    assert config["defense"]["batches"] == "alternating"
    assert config["metric"]["evasion"]["attack"]["labels"] == "predicted"
    assert config["attack"]["objective"] == "logit_mse"
    assert (config["batch_size"], config["adversary_fraction"]) == (256, 0.5)
    architecture = config["model"]["_target_"].rpartition(".")[2]
    assert architecture == ("VGG" if name.endswith("cifar10") else "LinearNet")


def test_tables_6_and_8_are_the_papers() -> None:
    six = composed("+experiment=table6_lfw")
    assert {job.config["defense"]["epsilon"] for job in six.jobs} == {0.01, 0.03, 0.06, 0.10}
    assert six.jobs[0].config["batch_size"] == 128
    eight = composed("+experiment=table8_fmnist")
    assert {job.config["defense"]["percent"] for job in eight.jobs} == {10, 20, 30, 40}
    assert eight.jobs[0].config["defense"]["remove"] == "highest"
    assert eight.jobs[0].config["defense"]["reference"] == "test"


def test_table_4s_membership_is_overfit_on_purpose() -> None:
    config = composed("+experiment=table4_membership").jobs[0].config
    assert config["model"]["depth"] == 18
    assert config["dataset"]["target"] == "Wavy_Hair"
    assert (config["attack"]["n_shadow"], config["attack"]["offline"]) == (64, "density")


def test_ours_differs_from_the_papers_choices() -> None:
    for table in ("table6", "table7", "table8"):
        ours = composed(f"+experiment={table}_lfw_ours", "seed=0").jobs[0].config
        theirs = composed(f"+experiment={table}_lfw", "seed=0").jobs[0].config
        assert ours["defense"] != theirs["defense"]


# A series is several sweeps.


@pytest.mark.parametrize("name", names(series=True))
def test_a_series_is_all_its_experiments(name: str) -> None:
    members = flattened(content(EXPERIMENT / f"{name}.yaml")["series"])
    assert members
    assert set(members) <= set(names(series=False))
    found = parts(parse(["seed=0", f"+experiment={name}", "+paper_size=quick"]))
    assert [part.overrides for part in found] == [
        ("seed=0", f"+experiment={member}", f"+paper_size=quick/{member}") for member in members
    ]


def test_the_jobs_of_a_series_are_those_of_its_members() -> None:
    request = composed("+experiment=table6", "+paper_size=quick")
    alone = [composed(f"+experiment=table6_{dataset}", "+paper_size=quick") for dataset in ("census", "lfw")]
    assert [job.folder for job in request.jobs] == [job.folder for one in alone for job in one.jobs]
    assert request.sizes == (40, 12)
    assert request.swept[0] == "dataset"
    assert len({job.label(request.swept) for job in request.jobs}) == 52


def flattened(listed: Sequence[str]) -> list[str]:
    return [
        inner
        for member in listed
        for inner in flattened(content(EXPERIMENT / f"{member}.yaml").get("series", [])) or [member]
    ]


def test_table_5_is_sixteen_pairs() -> None:
    request = composed("+experiment=table5")
    pairs = {(job.choices["defense"], job.choices.get("second_defense"), job.choices["attack"]) for job in request.jobs}
    assert len(pairs) == 16
    assert len(request.jobs) == 160


def test_the_figures_need_no_runs_of_their_own() -> None:
    for figure in ("figure3", "figure4"):
        assert parts(parse([f"+experiment={figure}"])) == parts(parse(["+experiment=table8"]))


def test_a_users_series(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text("series: [table6_census, table7]\n")
    request = composed("--config-dir", str(tmp_path), "+experiment=mine", "seed=0")
    assert request.sizes == (4, 4, 4, 4, 4)
    (folder / "broken.yaml").write_text("series: table6_census\n")
    with pytest.raises(UsageError, match="`series` must list experiments"):
        composed("--config-dir", str(tmp_path), "+experiment=broken")


# They run.

TINY = ("epochs=1", "dataset.limit=400", "seed=0", "num_threads=1", "workers=1", "+paper_size=quick")


def run(*words: str) -> None:
    assert main(["run", *words]) == 0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("table6", ("defense.epsilon=0.1", "defense.steps=1")),
        ("table7", ("defense.epsilon=0.1", "defense.steps=1")),
        ("table8", ("defense.percent=40",)),
    ],
)
def test_a_tiny_census_run_fills_its_tables_cells(workdir: Path, table: str, words: tuple[str, ...]) -> None:
    run(f"+experiment={table}_census", *TINY, *words)
    [found] = compare(table, find_results([workdir / "outputs"]))
    setting = words[0]
    filled = {cell.column for cell in found.cells if cell.ours and cell.setting == setting}
    assert filled == set(LAYOUTS[table].columns), "every column is a number that a run really writes"
    assert any(cell.ours for cell in found.cells if cell.setting in ("baseline", "undefended"))


def test_a_tiny_table_5_finds_something_for_two_pairs(workdir: Path) -> None:
    run("+experiment=table5_outlier_removal", *TINY, "attack.steps=5", "attack=model_inversion")
    [table] = findings(find_results([workdir / "outputs"]))
    assert [(row.defense, row.risk) for row in table.rows if row.row] == [("outlier_removal", "data_reconstruction")]


def test_the_texts_attribute_inference_is_in_its_table(workdir: Path) -> None:
    run("+experiment=attributes_census", *TINY)
    [table] = compare("in_text", find_results([workdir / "outputs"]))
    assert {cell.column for cell in table.cells if cell.ours} == {"P2: Acc_att(Race)", "P2: Acc_att(Sex)"}


@pytest.mark.parametrize(
    ("dataset", "table", "words"),
    [
        ("lfw", "table6", ("defense.epsilon=0.1", "defense.steps=1")),
        ("lfw", "table8", ("defense.percent=10",)),
        ("fmnist", "table7", ("defense.epsilon=0.1", "defense.steps=1")),
    ],
)
def test_a_tiny_run_on_pictures(
    workdir: Path, data_folder: Path, dataset: str, table: str, words: tuple[str, ...]
) -> None:
    if not (data_folder / dataset).is_dir():
        pytest.skip(f"{data_folder} has no {dataset}")
    run(f"+experiment={table}_{dataset}", *TINY, f"dataset.root={data_folder / dataset}", *words)
    [found] = compare(table, find_results([workdir / "outputs"]))
    assert {cell.column for cell in found.cells if cell.ours and cell.setting == words[0]} == set(
        LAYOUTS[table].columns
    )


@pytest.mark.parametrize("name", ["table4_fmnist", "table4_lfw"])
def test_the_risks_of_table_4_where_celeba_is_not(workdir: Path, data_folder: Path, name: str) -> None:
    dataset = name.rpartition("_")[2]
    if not (data_folder / dataset).is_dir():
        pytest.skip(f"{data_folder} has no {dataset}")
    run(f"+experiment={name}", *TINY, f"dataset.root={data_folder / dataset}", "attack=badnets,evasion_pgd")
    [found] = compare("table4", find_results([workdir / "outputs"]))
    shown = {cell.column for cell in found.cells if cell.ours}
    assert shown == {"S1: Acc_rob", "S2: Acc_pois(M_std)", "S2: Acc_te(M_pois)", "S2: Acc_pois(M_pois)"}
    assert not any(cell.comparable for cell in found.cells)


def test_validate_takes_them(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["+experiment=table7_census"], ["+experiment=table5", "+paper_size=quick"]):
        assert main(["validate", *words, "seed=0"]) == 0
    assert "Valid: 16 jobs" in capsys.readouterr().out
