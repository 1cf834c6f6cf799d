"""The first page in plain words: no word of code, and no number without its interval, its budget and its name."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from amulet_cli.analysis.deployment.findings import Finding, Standing
from amulet_cli.analysis.deployment.handout import Handout
from amulet_cli.analysis.findings import listed
from amulet_cli.analysis.gate.judging import Outcome
from amulet_cli.analysis.gate.measured import SEEDS
from amulet_cli.base.format_numbers import plural

_RISK: dict[Standing, str] = {
    "worse": "found",
    "unclear": "unclear",
    "no interval": "not sure enough",
    "not worse": "not found",
    "not measured": "not measured",
}
"""By standing the word on a risk, the worst first."""
_GOOD: dict[Standing, str] = {**_RISK, "worse": "worse than chance", "not worse": "better than chance"}
"""The same of a number that speaks for the model."""
_VERDICTS: dict[Outcome, str] = {
    "fail": "not kept",
    "not measured": "without a number",
    "inconclusive": "undecided",
    "pass": "kept",
}
_UTILITY = "utility"


@dataclass(frozen=True, kw_only=True)
class PlainRisk:
    """One risk: the word on it, its numbers, and who was tried with which budget."""

    name: str
    word: str
    lines: tuple[tuple[Finding, str], ...]
    """Each with why there is no number here; empty where there is."""
    attackers: tuple[str, ...]
    """What each attacker has and was allowed, or that nobody attacks: a sentence each."""


def plain_risks(made: Handout) -> list[PlainRisk]:
    """How good the answers are, then every risk with a number."""
    groups: dict[str, list[Finding]] = {}
    for one in made.worst:
        if not one.found.missing:
            groups.setdefault(one.plain, []).append(one)
    return [
        PlainRisk(
            name=name,
            word=_word(its),
            lines=tuple((one, _why(one)) for one in its),
            attackers=tuple(dict.fromkeys(map(_attacker, its))),
        )
        for name, its in groups.items()
    ]


def title(made: Handout) -> str:
    """What the report is about."""
    classes = made.sheet.classes
    if len(classes) == 2:
        return f"Risks of a model that tells “{classes[0]}” from “{classes[1]}”"
    return f"Risks of a model with {len(classes)} possible answers" if classes else "Risks of a model"


def lead(made: Handout) -> str:
    """How many risks were tested and found, in a sentence or two."""
    risks = [one for one in plain_risks(made) if one.name not in _utility(made)]
    of = len(risks) + len(made.untested)
    count = {word: sum(one.word == word for one in risks) for word in ("found", "not found")}
    rest = len(risks) - sum(count.values())
    if not risks:
        return f"Of {plural(of, 'known risk')}, none was tested on this model so that a number counts."
    text = f"Of {plural(of, 'known risk')}, {len(risks)} {_were(len(risks))} tested on this model. "
    told = [f"{number} {_were(number)} {word}" for word, number in count.items() if number]
    told += [f"of {rest} the tests cannot tell"] if rest else []
    text += f"{listed(told)}."
    return text


def tested(made: Handout) -> Iterator[str]:
    """What was tested."""
    sheet = made.sheet
    if sheet.classes:
        yield f"The model has {plural(len(sheet.classes), 'possible answer')}: {', '.join(sheet.classes)}."
    yield f"Data: {sheet.data}."
    if sheet.records:
        yield f"{listed([f'{count:,} {words}' for words, count in sheet.records.items()])}."
    if sheet.defense:
        yield f"The model is protected by {sheet.defense}. What was measured is the protected model."
    else:
        yield "The model has no protection of its own."


def limits(made: Handout) -> str:
    """The policy's word, in a sentence; empty without a policy."""
    if not made.gate:
        return ""
    counted = Counter(one.outcome for one in made.gate.judgements if one.blocks or one.outcome == "pass")
    told = [f"{counted[outcome]} {words}" for outcome, words in _VERDICTS.items() if counted[outcome]]
    waived = sum(not one.blocks and one.outcome != "pass" for one in made.gate.judgements)
    more = f" {waived} more {_were(waived)} not kept or not decided, and the policy does not count {_them(waived)}."
    return f"Held against the limits of “{made.gate.policy.title}”: {', '.join(told)}.{more if waived else ''}"


def untested(made: Handout) -> Iterator[str]:
    """What was not tested."""
    never = [one.plain for one in made.untested if not one.reasons]
    if never:
        yield f"No test was made of: {'; '.join(never)}."
    failed = [one.plain for one in made.untested if one.reasons]
    if failed:
        yield f"A test was made, and gave no number that counts, of: {'; '.join(failed)}."
    yield "Other attackers than those above: that one attack fails does not show that every attack would."
    yield "Other people, places and times than those of the data; the programs, people and decisions around the model."


def sureness(made: Handout) -> Iterator[str]:
    """How sure the numbers are."""
    if made.trial:
        yield "These are trials with little data, to see whether everything works. None of these numbers counts."
    yield (
        "Beside each number is its 95% interval. Intervals made in this way hold the true value in 95 of 100 cases. "
        "They are not corrected for the number of findings: of twenty, one may be wrong."
    )
    models = max((one.models for one in made.findings), default=0)
    if models > 1:
        yield f"{models} models were trained in the same way. Of a number about one model, the worst model's is shown."
    else:
        yield "One trained model was tested. Another training in the same way would give a slightly different one."
    recipe = list(dict.fromkeys(one.plain for one in made.findings if one.recipe))
    if recipe:
        yield (
            f"Tests of {listed([f'“{one}”' for one in recipe])} train further models. What they find is about the way "
            "in which the model is trained, and not about this one model."
        )
    yield (
        "A risk counts as found where the whole interval is beyond what there would be without the attack or without "
        "the model. Whether it is too large is for those to say who answer for the model."
    )
    if made.remarks:
        yield f"The tests came with {plural(len(made.remarks), 'remark')}, which are in this report. Read them first."


def sentence(one: Finding, why: str) -> str:
    """A line as text."""
    base = f" {capital(one.without)}: {one.base()}." if one.base() else ""
    return f"{capital(one.what)}: {why or f'{one.value()} (95% interval {one.interval()}).{base}'}"


def _attacker(one: Finding) -> str:
    if not one.attacked:
        return "Nobody attacks: these are the model's answers to the test records as they are."
    who = f"The attacker {one.who}" if one.who else "What the attacker has of the model is not stated"
    return f"{who}. Allowed: {one.budget or 'not stated'}."


def _why(one: Finding) -> str:
    """Why there is no number; empty where there is."""
    if one.standing not in ("no interval", "not measured"):
        return ""
    if one.recipe and one.models < SEEDS:
        return f"no number here, for it takes {SEEDS} trainings, and {one.models} {_were(one.models)} made."
    return "no number here, for the test gives no interval."


def _word(its: list[Finding]) -> str:
    words = _GOOD if all(one.good for one in its) else _RISK
    order: list[Standing] = list(_RISK)
    return words[order[min(order.index(one.standing) for one in its)]]


def _utility(made: Handout) -> set[str]:
    return {one.plain for one in made.findings if one.risk == _UTILITY}


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[:1].upper() + text[1:]


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def attackers(made: Handout) -> Iterator[tuple[str, str]]:
    """Against whom: each risk with its attackers; those that nobody attacks in one line."""
    risks = plain_risks(made)
    calm = {one.plain for one in made.findings if not one.attacked}
    yield from ((one.name, text) for one in risks if one.name not in calm for text in one.attackers)
    if names := [one.name for one in risks if one.name in calm]:
        yield listed(names), "Nobody attacks: these are the model's answers to the test records as they are."


def _them(count: int) -> str:
    return "it" if count == 1 else "them"
