"""Does a metric keep to its contract?"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from amulet.assessment.plan import protocol_of
from amulet.assessment.risks import risk_of
from amulet.core.component import Factory
from amulet.core.errors import IncompatibleError, SettingError
from amulet.core.evidence import Evidence, Measurement
from amulet.testing.attacks import quick_attack
from amulet.testing.evidence import difference, measurement_problems, number_problems
from amulet.testing.laboratory import Laboratory, kinds_of_data
from amulet.testing.problems import blamed, settle
from amulet.testing.schema import Yaml, read

MetricFunction = Callable[[Any], Mapping[str, float] | Measurement]


def check_metric(
    function: MetricFunction, yaml: Yaml | None = None, *, risk: str | None = None, evidence: Evidence | None = None
) -> None:
    """Compute a metric twice from the evidence of its risk.

    It is a pure function: the same evidence gives the same numbers and stays as it was. Each number is a float, a
    fraction in range where it is one, and explained where it cannot be had. A Measurement states facts of each.

    Args:
        function: from a risk's evidence to numbers by name: a user's own, or the `measure` of a protocol.
        yaml: its option: a file, or its content.
        risk: whose evidence it takes, if no option says so.
        evidence: what to compute it from; what the risk's default attack finds on a small victim, if not given.

    Raises:
        AssertionError: everything that is wrong.
    """
    who = getattr(function, "__name__", type(function).__name__)
    option = {} if yaml is None else read(yaml)
    settle(who, _option_problems(function, option) if option else ())
    nodes = (cast(Mapping[str, Any], node) for node in option.values() if isinstance(node, Mapping))
    wanted = risk or next((str(node["risk"]) for node in nodes if node.get("risk")), None)
    if wanted is None:
        raise AssertionError(f"{who}: whose evidence does it take? Give `risk=`, or an option that says so")
    name = risk_of(wanted).name
    found = _evidence(name) if evidence is None else evidence
    settle(who, _number_problems(who, function, found, name))


def _option_problems(function: MetricFunction, option: Mapping[str, Any]) -> Iterator[str]:
    if len(option) != 1:
        yield "its option must be one name, with `risk` and `function` below it"
        return
    (node,) = option.values()
    path = node.get("function")
    if path is not None:
        try:
            if Factory(str(path)).load() is not function:
                yield f"its option's `function` is something else: {path}"
        except SettingError as error:
            yield f"its option's `function` leads nowhere: {error}"
    try:
        risk_of(str(node.get("risk")))
    except KeyError:
        yield f"its option's `risk` must name a risk, it is {node.get('risk')!r}"
    if not (node.get("about") or {}).get("line"):
        yield "its option does not say `about.line`"


def _evidence(risk: str) -> Evidence:
    for data in kinds_of_data():
        laboratory = Laboratory(data)
        splits = laboratory.splits()
        attack = quick_attack(risk)
        try:
            protocol_of(risk).check(attack, (), data)
        except IncompatibleError:
            continue
        return protocol_of(risk).assess(laboratory.victim(splits), attack, splits)
    raise AssertionError(f"the default attack on {risk} runs on no data of the kit; give `evidence=`")


def _number_problems(who: str, function: MetricFunction, evidence: Evidence, risk: str) -> Iterator[str]:
    before = copy.deepcopy(evidence)
    first: Any
    second: Any
    with blamed(who, "it is computed"):
        first, second = function(evidence), function(evidence)
    if changed := difference(before, evidence):
        yield f"changes the evidence that it is given: {changed}"
    if _texts(first) != _texts(second):
        yield "is not pure: the same evidence gives other numbers the second time"
    own = protocol_of(risk).measure(evidence).metrics
    if isinstance(first, Measurement):
        whole = function is protocol_of(risk).measure
        yield from measurement_problems(first, tuple(evidence.warnings), risk if whole else "")
        yield from _taken(first.metrics, {} if whole else own, risk)
        return
    if not isinstance(first, Mapping):
        yield f"must return numbers by name, it returns {type(first).__name__}"
        return
    numbers = cast(Mapping[str, Any], first)
    yield from number_problems(numbers, tuple(evidence.warnings))
    yield from _taken(numbers, own, risk)
    for name, value in numbers.items():
        if isinstance(value, float) and math.isfinite(value) and not -1 <= value <= 1:
            yield f"`{name}` must be a fraction in [0, 1] or a difference of such, it is {value}"


def _taken(numbers: Mapping[str, Any], own: Mapping[str, float], risk: str) -> Iterator[str]:
    for name in numbers.keys() & own.keys():
        yield f"`{name}` is a metric of {risk} already"


def _texts(numbers: Any) -> str:
    """Equal numbers, equal texts, NaN as well."""
    return repr(sorted(cast(Mapping[str, Any], numbers).items()) if isinstance(numbers, Mapping) else numbers)
