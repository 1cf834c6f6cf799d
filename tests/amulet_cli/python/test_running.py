"""`amulet.assess`: the words of `amulet run`, and its runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

import amulet
from amulet.core.errors import SettingError
from amulet_cli.cli import main
from amulet_cli.python.running import word

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(st.characters(codec="ascii"))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(VALUES)
def test_hydra_reads_a_value_as_it_was(value: Any) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"key={word(value)}"])
    assert override.value() == value


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"attack": "model_extractoin"}, "did you mean: attack=model_extraction"),
        ({"attack": []}, "`attack` must be the name of an option"),
        ({"seeds": 0}, "`seeds` must be a number from 1 on"),
        ({"settings": {"epochs": "few"}}, "`epochs` must be"),
        ({"settings": {"defense.epsilom": 1}}, "defense.epsilom"),
        ({"config_dir": "nowhere"}, "`--config-dir` must be a folder"),
    ],
)
def test_mistakes_are_told_at_once(arguments: dict[str, Any], says: str, workdir: Path) -> None:
    with pytest.raises(SettingError) as error:
        amulet.assess("census", **arguments)
    assert says in str(error.value)
    assert not list(workdir.iterdir())


def test_the_same_numbers_as_on_the_command_line(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    torch.set_num_threads(1)
    settings = {"epochs": 1, "dataset.limit": 200, "defense.steps": 1, "attack.steps": 1}
    found = amulet.assess(
        "census", defense="adv_training", attack="evasion_pgd", seeds=2, settings=settings, progress=False
    )
    assert capsys.readouterr() == ("", "")
    assert (len(found.finished), found.refused, found.failed) == (2, (), ())
    words = [f"{key}={value}" for key, value in settings.items()]
    assert main(["run", "defense=adv_training", "attack=evasion_pgd", "seed=1", "output_dir=other", *words]) == 0
    [there] = workdir.glob("other/**/metrics.json")
    here = found.runs[1].folder / "metrics.json"
    kept = [json.loads(path.read_text()) for path in (workdir / here, there)]
    for part in ("metrics", "intervals", "influences", "baselines", "facts", "overrides"):
        assert kept[0][part] == kept[1][part]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_combination_that_makes_no_sense_is_refused_with_its_reason(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = amulet.assess("census", attack="wanet", settings={"epochs": 1, "dataset.limit": 200}, progress=False)
    [one] = found.refused
    assert one.risk == "poisoning"
    assert one.reason
    assert not found.finished
    assert capsys.readouterr() == ("", "")
