"""`model=estimator` and `model=endpoint`: a model in a file or behind HTTP, attacked from the command line."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from amulet.datasets import load_census
from amulet.victims import EstimatorFile
from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.execution.plan import plan_of
from amulet_cli.results.reading import find_results
from tests.helpers.services import answering

ROOT = Path(__file__).resolve().parents[3]
CENSUS = load_census(limit=200)
SMALL = ("dataset.limit=200", "epochs=1", "model.architecture=amulet.models.LinearNet")
X, Y = CENSUS.train.inputs().numpy(), CENSUS.train.y.numpy()


def saved(folder: Path) -> str:
    """A fitted estimator in a file; the words that trust it."""
    skops: Any = pytest.importorskip("skops.io", reason="needs skops: pip install 'amulet-cli[estimators]'")
    model = LogisticRegression().fit(X, Y)
    skops.dump(model, folder / "model.skops")
    return "model.path=model.skops"


def metrics(folder: str = "outputs") -> dict[str, Any]:
    (result,) = [one for one in find_results([Path(folder)]) if one.finished]
    return {"metrics": result.metrics["undefended"], "warnings": result.warnings}


def test_a_file_is_attacked_as_it_is(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(workdir)
    assert main(["run", "model=estimator", path, *SMALL, "attack=discriminatory_behavior"]) == 0
    expected = LogisticRegression().fit(X, Y).score(CENSUS.test.inputs().numpy(), CENSUS.test.y.numpy())
    assert metrics()["metrics"]["test_accuracy"] == pytest.approx(expected)
    assert any(
        "State the accuracy that you know: accuracy=0.85, for a command model.accuracy" in text
        for text in metrics()["warnings"]
    )
    capsys.readouterr()
    assert main(["run", "model=estimator", path, *SMALL, "attack=discriminatory_behavior"]) == 0
    assert "done before" in capsys.readouterr().err


def test_another_content_is_another_result(workdir: Path) -> None:
    (workdir / "a.onnx").write_bytes(b"one")

    def hashed() -> str:
        return str(compose(parse(["model=estimator", "model.path=a.onnx"])).jobs[0].folder)

    before = hashed()
    (workdir / "a.onnx").write_bytes(b"two")
    assert hashed() != before
    given = EstimatorFile(path="a.onnx", sha256={"path": "0" * 64})
    with pytest.raises(ValueError, match="has changed since"):
        given.check()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model=estimator"], "`model.path` must name the file"),
        (["model=estimator", "model.path=gone.onnx"], "`model.path`: gone.onnx cannot be read"),
        (["model=estimator", "model.path=model.pkl"], "`model.path`: model.pkl must end in"),
        (["model=estimator", "model.path=model.pkl"], "A pickle can run any program"),
        (["model=estimator", "model.path=a.onnx", "checkpoint=a.onnx"], "leave one out"),
        (["model=estimator", "model.path=a.onnx", "model.colums=raw"], "model.columns"),
        (["model=endpoint"], "`model.url` must begin with http"),
        (["model=endpoint", "model.url=http://me:secret@host/"], "must hold no password"),
        (["model=endpoint", "model.url=http://host/", "model.authorization=NOT_SET"], "no environment variable"),
    ],
)
def test_mistakes_are_told_before_any_data_are_read(
    words: list[str], says: str, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("model.pkl", "a.onnx"):
        (workdir / name).write_bytes(b"cposix\nsystem\n(S'touch ran'\ntR.")
    monkeypatch.setattr("amulet_cli.execution.plan.load_data", None)
    with pytest.raises(UsageError) as error:
        plan_of(compose(parse(words)).jobs[0].config)
    assert says in f"{error.value} {error.value.meant}"
    assert main(["run", *words]) == 2
    assert not (workdir / "ran").exists()


def test_what_is_not_granted_is_refused_and_an_audit_goes_on(workdir: Path) -> None:
    path = saved(workdir)
    assert main(["run", "model=estimator", path, *SMALL, "attack=evasion_pgd"]) == 2
    attacks = "attack=evasion_pgd,tabular_search"
    assert main(["audit", "model=estimator", path, *SMALL, "--limit", "60", attacks]) == 0
    found = {one.choices["attack"]: one for one in find_results([Path("outputs")])}
    assert "gradients of its loss, which LogisticRegression" in found["evasion_pgd"].reason
    assert found["tabular_search"].finished


def test_a_service_is_asked_and_says_that_it_may_change(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(X, Y)
    monkeypatch.setenv("TOKEN", "Bearer x")
    with answering(model.predict_proba) as (url, requests):
        words = ["model=endpoint", f"model.url={url}", "model.authorization=TOKEN", *SMALL]
        assert main(["run", *words, "attack=discriminatory_behavior"]) == 0
        assert {one["headers"]["Authorization"] for one in requests} == {"Bearer x"}
        assert main(["run", *words, "attack=lira"]) == 2
    expected = model.score(CENSUS.test.inputs().numpy(), CENSUS.test.y.numpy())
    assert metrics()["metrics"]["test_accuracy"] == pytest.approx(expected)
    assert any("endpoint may answer otherwise by now" in text for text in metrics()["warnings"])
    assert "Bearer" not in json.dumps([path.read_text() for path in Path("outputs").rglob("*.json")])


def test_a_service_that_is_not_there_is_told_at_once(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "model=endpoint", "model.url=http://127.0.0.1:9/", "model.retries=0", *SMALL]) == 2
    assert "cannot be asked" in " ".join(capsys.readouterr().err.split())
    assert not list(Path("outputs").rglob("metrics.json"))


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_files_of_boosted_trees_answer_and_are_not_fitted_again(package: str, workdir: Path) -> None:
    module = pytest.importorskip(package, reason=f"needs {package}: pip install 'amulet-cli[estimators]'")
    if package == "xgboost":
        model = module.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y)
        model.save_model(name := "model.ubj")
    else:
        model = module.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(X, Y)
        model.booster_.save_model(name := "model.txt")
    victim = EstimatorFile(path=name).on(CENSUS)
    assert victim.model is not None
    assert not victim.recipe_known
    found = victim.model(CENSUS.test.inputs()).exp().numpy()
    assert found == pytest.approx(model.predict_proba(CENSUS.test.inputs().numpy()), abs=1e-6)


def test_a_pipeline_on_a_table_of_its_owner(workdir: Path) -> None:
    skops: Any = pytest.importorskip("skops.io", reason="needs skops: pip install 'amulet-cli[estimators]'")
    loans = pd.read_csv(ROOT / "docs" / "examples" / "custom" / "loans.csv")
    loans.to_csv("loans.csv", index=False)
    rest: Any = StandardScaler()
    columns = make_column_transformer((OneHotEncoder(), ["job"]), remainder=rest)
    model = make_pipeline(columns, LogisticRegression()).fit(loans.drop(columns=["sex", "repaid"]), loans["repaid"])
    skops.dump(model, "model.skops")
    data = ["dataset=custom", "dataset.path=loans.csv", "dataset.target=repaid", "dataset.sensitive=[sex]"]
    words = ["model=estimator", "model.path=model.skops", *data, "attack=discriminatory_behavior"]
    assert main(["run", *words]) == 0
    accuracy = metrics()["metrics"]["test_accuracy"]
    (result,) = find_results([Path("outputs")])
    assert accuracy == pytest.approx(model.score(loans, loans["repaid"]), abs=0.03)
    assert any("raw columns, which its names are" in text for text in result.warnings)
    assert main(["run", *words, "model.accuracy=0.5"]) == 2


def test_a_dry_run_trains_no_given_model(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=estimator", saved(workdir), *SMALL, "attack=tabular_search,model_extraction", "seed=0,1"]
    assert main(["audit", *words, "--dry-run"]) == 0
    assert "models   1 given; 0 to train, or in the store; 0 more are shared" in capsys.readouterr().out
    assert main(["audit", *words, "defense=outlier_removal", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["given"], found["trainings"], found["victims"]) == (1, 2, 5)  # the defended one for each seed


@pytest.mark.parametrize("attack", ["membership_population", "membership_labels", "membership_quantile"])
def test_membership_of_a_file_whose_members_are_known(
    attack: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xgboost = pytest.importorskip("xgboost", reason="needs xgboost: pip install 'amulet-cli[estimators]'")
    xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y).save_model("model.ubj")
    words = ["model=estimator", "model.path=model.ubj", *SMALL, f"attack={attack}", "attack.pool_size=100"]
    assert main(["run", *words]) == 2
    assert "say so: members=given" in " ".join(capsys.readouterr().err.split())
    assert main(["run", *words, "members=given"]) == 0
    (result,) = find_results([Path("outputs")])
    manifest = result.manifest["membership_inference"]["undefended"]
    assert (manifest["members"], manifest["non_members"], manifest["population"], manifest["n_shadow"]) == (
        50, 50, 100, 0,
    )  # fmt: skip
    assert not any("trained again" in text or "is unknown" in text for text in result.warnings)
    assert any("records of the adversary are among those" in text for text in result.warnings)


def test_members_are_those_of_a_given_model(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SMALL[:2], "attack=membership_population", "members=given"]) == 2
    assert "`members=given` is about a model that is given" in " ".join(capsys.readouterr().err.split())
    assert main(["run", "model=estimator", saved(workdir), *SMALL, "attack=lira", "members=given", "--dry-run"]) == 0
