"""A signature as a schema."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.config import instantiation


class Thing:
    """What the tests build."""

    def __init__(
        self,
        model: object = None,
        *,
        epsilon: float,
        norm: Literal["linf", "l2"] = "linf",
        widths: Sequence[int] = (1, 2),
        inner: Any = None,
    ) -> None:
        if epsilon < 0:
            raise ValueError(f"`epsilon` must satisfy 0 <= epsilon, got {epsilon}")
        self.model, self.epsilon, self.norm, self.widths, self.inner = model, epsilon, norm, widths, inner


HERE = f"{__name__}.Thing"


@pytest.mark.parametrize(
    ("value", "hint", "fit"),
    [
        (1, float, True),
        (True, float, False),
        ("1", float, False),
        (1.0, int, False),
        (None, float | None, True),
        (None, float, False),
        ([1, 2], tuple[int, ...], True),
        ([1, "a"], Sequence[int], False),
        ("l2", Literal["linf", "l2"], True),
        ("l3", Literal["linf", "l2"], False),
        (0, bool, False),
        ({"a": 1}, dict[str, int], True),
        (float("inf"), float, True),
        ("anything", Any, True),
        ("what only the target can judge", "Tensor", True),
    ],
)
def test_fits(value: object, hint: Any, fit: bool) -> None:
    assert instantiation.fits(value, hint) is fit


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (float, "a number"),
        (int | None, "a whole number or null"),
        (Literal["auto"] | int, "auto or a whole number"),
        (Sequence[int], "a list, each a whole number"),
        (list[Any] | dict[str, int], "a list, each Any or a mapping"),
    ],
)
def test_phrase(hint: Any, words: str) -> None:
    assert instantiation.phrase(hint) == words


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilonn": 1}, "`defense` has no setting `epsilonn`"),
        ({"epsilon": "x"}, "`defense.epsilon` must be a number, got 'x'"),
        ({"epsilon": 1, "norm": "l1"}, "`defense.norm` must be one of linf, l2, got 'l1'"),
        ({"epsilon": 1, "widths": [1.5]}, "`defense.widths` must be a list, each a whole number, got"),
        ({}, "`defense.epsilon` must be given"),
        ({"epsilon": 1, "model": 2}, "`defense` has no setting `model`"),
        ({"epsilon": 1, "inner": {"_target_": HERE, "epsilon": "x"}}, "`defense.inner.epsilon` must be a number"),
    ],
)
def test_check_names_the_full_key(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        instantiation.check({"_target_": HERE, **settings}, "defense", keywords_only=True)
    assert caught.value.what.startswith(message)


def test_check_and_build() -> None:
    node = {"_target_": HERE, "epsilon": 1, "widths": [3], "inner": {"_target_": HERE, "epsilon": 2}}
    instantiation.check(node, "defense", keywords_only=True)
    built = instantiation.build(node, "defense", "a model")
    assert (built.model, built.epsilon, built.widths, built.inner.epsilon) == ("a model", 1, [3], 2)
    with pytest.raises(UsageError, match=r"`attack\.epsilon` must satisfy 0 <= epsilon, got -1"):
        instantiation.build({"_target_": HERE, "epsilon": -1}, "attack")
    with pytest.raises(UsageError, match=r"`attack\.inner\.epsilon` must satisfy"):
        instantiation.build({**node, "inner": {"_target_": HERE, "epsilon": -1}}, "attack")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.Thing", "there is no module `nowhere`"),
        ("amulet.nowhere.Thing", "there is no module `amulet.nowhere`"),
        ("Thing", "`Thing` is not the path of a class"),
        (f"{__name__}.Thin", f"`{__name__}` has no `Thin`"),
        (f"{__name__}.HERE", "must be a class or a function, got str"),
    ],
)
def test_load(path: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        instantiation.load(path, "attack")
    assert message in caught.value.what


def test_a_module_that_breaks_is_named(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    (tmp_path / "needy_module.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        instantiation.load("broken_module.Thing", "attack")
    with pytest.raises(UsageError, match="`a_package_nobody_has`, which is not installed"):
        instantiation.load("needy_module.Thing", "attack")


def test_a_target_without_a_signature_judges_itself() -> None:
    instantiation.check({"_target_": "builtins.dict", "a": 1}, "model")
    assert instantiation.build({"_target_": "builtins.dict", "a": 1}, "model") == {"a": 1}
