"""What one run found, in a sentence or two that need no glossary."""

from collections import Counter
from collections.abc import Mapping, Sequence

from amulet.core.risk import UTILITY
from amulet_cli.analysis.deployment.words import words
from amulet_cli.analysis.findings import listed
from amulet_cli.analysis.names import defense_name
from amulet_cli.results.result import Result

_FEW = 4
"""Numbers that a sentence can carry."""
_FATES: dict[str, tuple[str, str]] = {
    "better": ("falls", "fall"),
    "worse": ("rises", "rise"),
    "≈": ("does not clearly change", "do not clearly change"),
    "cannot show": (
        "may have changed, which these numbers cannot show",
        "may have changed, which these numbers cannot show",
    ),
}


def in_words(result: Result, changes: Mapping[str, tuple[str, str]]) -> str:
    """The risks that fall and rise under the defence, each in plain words, and what it costs in test accuracy.

    Args:
        result: a run.
        changes: by metric the change as text, and what it means for the victim, as the table of the run says it.

    Returns:
        Nothing where no defence was compared, or where nothing could be said.
    """
    from amulet.assessment.verdict import MIN_SEEDS

    fates: dict[str, dict[str, list[str]]] = {}
    for name, (amount, word) in changes.items():
        facts = result.facts.of(name)
        if word in _FATES and facts.decides and not facts.after and facts.risk != UTILITY.name:
            plain = words().of(facts.risk).plain
            risk = f"{plain[:1].lower()}{plain[1:]}" if plain else result.facts.heading(facts.risk)
            fates.setdefault(word, {}).setdefault(risk, []).append(f"{name} {amount}")
    if not fates:
        return ""
    several = Counter(risk for risks in fates.values() for risk in risks)
    if sum(len(numbers) for risks in fates.values() for numbers in risks.values()) > _FEW:
        for risks in fates.values():  # the table has the numbers; where a risk goes two ways, which is which
            risks.update({risk: numbers if several[risk] > 1 else [] for risk, numbers in risks.items()})
    parts = [_part(fates[word], _FATES[word], first=not i) for i, word in enumerate(w for w in _FATES if w in fates)]
    amount, word = changes.get("test_accuracy", ("", ""))
    if word in ("better", "worse"):
        parts.append(f"test accuracy {'rises' if word == 'better' else 'falls'} by {amount.lstrip('+-')} points")
    elif word == "≈":
        parts.append("test accuracy does not clearly change")
    told = f"With {defense_name(result.facts.defenses)} {'; '.join(parts)}."
    return f"{told} This is one seed; a verdict needs at least {MIN_SEEDS}."


def _part(risks: Mapping[str, Sequence[str]], fate: tuple[str, str], *, first: bool) -> str:
    """Some risks with their numbers, and what becomes of them."""
    told = [f"{risk} ({', '.join(numbers)})" if numbers else risk for risk, numbers in risks.items()]
    several = len(told) > 1
    head = f"the risk{'s' * several} of" if first else ("those of" if several else "that of")
    return f"{head} {listed(told)} {fate[several]}"
