"""Suites of attacks in a configuration: names of attack options become their settings.

    attacks: [evasion_pgd, {attack: square, queries: 500}]
    strengths: {quick: [...], standard: [...]}    # `strength` chooses, where `attacks` is null

What else the option of a suite says (`epsilon: 0.05`) is said to all of its attacks that have such a setting.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from amulet_cli.base.errors import UsageError, similar
from amulet_cli.config.instantiation import shown
from amulet_cli.config.option_files import read_option
from amulet_cli.config.options import SUITE, Option, find_options, is_suite

STRONGEST = "strongest"
"""The option of `attack` that stands for the suites of all risks: `<anything>_strongest`."""
STRENGTHS = ("quick", "standard", "full")
_OWN = ("_target_", "about", "risk", "strength", "attacks", "strengths", "knows_defense")


def expanded(node: Mapping[str, Any], config_dir: Path | None) -> dict[str, Any]:
    """The node of `attack` with every attack in full: what is hashed and stored.

    Raises:
        UsageError: an attack, a setting or a strength that there is not.
    """
    options = {option.name: option for option in find_options(config_dir) if option.group == "attack"}
    if node.get("_target_") == SUITE:
        return _suite(node, options)
    suites: dict[str, Any] = {}
    for option in options.values():
        if option.name.endswith(f"_{STRONGEST}"):
            there = cast(dict[str, Any], read_option(Path(option.file)))
            suites[option.risk] = _suite({**there, "strength": node["strength"]}, options)
    return {"_target_": None, "strength": node["strength"], "suites": suites}


def announced(config: Mapping[str, Any]) -> list[str]:
    """What a configuration's suites consist of and cost, a line for each."""
    attack = cast(Mapping[str, Any], config["attack"])
    suites = attack.get("suites") or ([attack] if attack.get("_target_") == SUITE else [])
    found = list(suites.values()) if isinstance(suites, Mapping) else suites
    lines: list[str] = []
    for node in cast(Sequence[Mapping[str, Any]], found):
        cost = node.get("about", {}).get("cost")
        stated = f"about {cost:g} times the time of the default attack" if cost else "its cost is not stated"
        lines.append(f"{node['risk']} ({node['strength'] or 'own'}): {', '.join(node['attacks'])}; {stated}")
    return lines


def _suite(node: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    about = cast(Mapping[str, Any], node.get("about") or {})
    risk = node.get("risk") or about.get("risk")
    shared = {key: value for key, value in node.items() if key not in _OWN and value is not None}
    listed, strength = node.get("attacks"), str(node.get("strength") or "")
    if listed is None:
        of_strength = cast(Mapping[str, Any], node.get("strengths") or {})
        if strength not in of_strength:
            raise UsageError(
                f"`attack.strength` must be one of {', '.join(of_strength)}; got {strength or 'nothing'}",
                meant=[f"attack.strength={word}" for word in similar(strength, of_strength)],
            )
        listed = of_strength[strength]
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise UsageError(f"`attack.attacks` must be a list of attacks, got {shown(listed)}", try_="amulet list attack")
    members: dict[str, Any] = {}
    for entry in cast(Sequence[Any], listed):
        name, member = _member(entry, options, shared)
        number = 2
        while name in members:
            name, number = f"{name.rstrip('0123456789_')}_{number}", number + 1
        members[name] = member
    for key in shared:
        if not any(key in member for member in members.values()):
            raise UsageError(f"`attack.{key}` is a setting of none of {', '.join(members)}")
    kept = {"knows_defense": node["knows_defense"]} if "knows_defense" in node else {}
    if (cost := cast(Mapping[str, Any], about.get("cost") or {}).get(strength)) and node.get("attacks") is None:
        kept["about"] = {"cost": cost}
    return {"_target_": SUITE, **kept, "risk": risk, "strength": strength, "attacks": members}


def _member(entry: Any, options: Mapping[str, Option], shared: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """One attack of the list: its name in the result and its node."""
    settings = dict(cast(Mapping[str, Any], entry)) if isinstance(entry, Mapping) else {"attack": entry}
    chosen, name = settings.pop("attack", None), settings.pop("name", None)
    option = options.get(chosen) if isinstance(chosen, str) else None
    if option is None:
        known = [each for each in options if each != "none"]
        raise UsageError(
            f"`attack.attacks` must name attacks, got {shown(chosen)}",
            meant=similar(str(chosen), known),
            try_="amulet list attack",
        )
    there = cast(dict[str, Any], read_option(Path(option.file)))
    if is_suite(there):
        raise UsageError(f"`attack.attacks` must name single attacks; {chosen} is a suite")
    known = {key: value for key, value in there.items() if key != "about"}
    for key in settings:
        if key not in known:
            near = similar(key, [each for each in known if each != "_target_"])
            raise UsageError(f"`attack.attacks`: {chosen} has no setting `{key}`", meant=near)
    common = {key: value for key, value in shared.items() if key in known}
    return str(name or chosen), {**known, **common, **settings}
