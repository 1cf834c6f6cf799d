"""Which attack of a suite a number is from."""

from collections import Counter
from collections.abc import Iterable

from amulet_cli.analysis.rows import RunGroup, described
from amulet_cli.results.result import VICTIMS, Result


def deciding_attack(result: Result, risk: str, victim: str) -> str:
    """The attack of a suite that decided a risk of a victim, as the result has it; several by metric."""
    decided: dict[str, str] = (described(result, risk, victim).get("suite") or {}).get("decided") or {}
    if len(set(decided.values())) <= 1:
        return next(iter(decided.values()), "")
    return ", ".join(f"{name} ({metric})" for metric, name in decided.items())


def deciding_attacks(runs: Iterable[Result], risk: str, victim: str) -> str:
    """The same over seeds, the most frequent first, each with the number of seeds where the seeds differ."""
    counts = Counter(filter(None, (deciding_attack(run, risk, victim) for run in runs)))
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} {count} of {counts.total()}" for name, count in counts.most_common())


def suites_of(group: RunGroup) -> dict[str, str]:
    """By risk that a suite attacked: `S1 evasion (quick) decided by undefended: fab · defended: apgd`."""
    found: dict[str, str] = {}
    for risk, attack in group.facts.attacks.items():
        if attack.strength:
            by = {victim: deciding_attacks(group.runs.values(), risk, victim) for victim in VICTIMS}
            words = " · ".join(f"{victim}: {name}" for victim, name in by.items() if name)
            found[risk] = f"{group.facts.heading(risk)} ({attack.strength}) decided by {words or 'none of its attacks'}"
    return found
