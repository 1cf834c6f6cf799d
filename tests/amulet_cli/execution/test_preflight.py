"""What is said before anything is read, downloaded or trained."""

import pytest

from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.execution import plan
from amulet_cli.execution.preflight import check_jobs


def test_what_makes_no_sense_on_the_data_is_refused_before_they_are_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(node: object) -> None:
        raise AssertionError("the data were asked for")

    monkeypatch.setattr(plan, "load_data", fetch)
    assert main(["run", "dataset=fmnist", "defense=adv_debiasing"]) == 2
    assert "adversarial debiasing needs" in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("defense=dp_sgd attack=evasion_pgd", "P1 membership inference is measured too"),
        ("defense=dp_sgd attack=lira", ""),
        ("defense=dp_sgd attack=evasion_pgd metric=[utility,evasion]", ""),
    ],
)
def test_models_that_nobody_asked_for_are_announced(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    request = compose(parse([*words.split(), "dataset.limit=200"]))
    assert check_jobs(request, request.jobs) == {}
    shown = " ".join(capsys.readouterr().err.split())
    assert said in shown
    assert ("trains 17 models for each victim" in shown) == bool(said)
