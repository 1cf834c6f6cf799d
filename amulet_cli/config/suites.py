"""Suites of attacks in a configuration: names of attack options become their settings.

    attacks: [evasion_pgd, {attack: square, queries: 500}]
    strengths: {quick: [...], standard: [...]}    # `strength` chooses, where `attacks` is null

What else the option of a suite says (`epsilon: 0.05`) is said to all of its attacks that have such a setting.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from amulet.assessment.risks import risk_of
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
    options = {option.name: option for option in find_options(config_dir, "attack")}
    if node.get("_target_") == SUITE:
        return _suite(node, options)
    suites = {risk: _suite(there, options) for risk, there in _of_all_risks(node, options).items()}
    return {"_target_": None, "strength": node["strength"], "suites": suites}


def without_strengths_own(
    metric: Mapping[str, Any], node: Mapping[str, Any], said: Mapping[str, Any], config_dir: Path | None
) -> dict[str, Any]:
    """The node of `metric` without the settings in `every` that the strength itself states, such as how many models.

    What an experiment says of a risk is then its conditions alone (a budget, two shares), under which each strength
    does the work that it promises. What the command line says is kept.

    Args:
        metric: the node of `metric`.
        node: that of `attack`, with suites, as in its option.
        said: by key what the command line says.
        config_dir: a folder of the user's own options.
    """
    every = metric.get("every")
    if not isinstance(every, Mapping):
        return dict(metric)
    options = {option.name: option for option in find_options(config_dir, "attack")}
    own = node.get("_target_") == SUITE
    of_risk = {str((node.get("about") or {}).get("risk")): node} if own else _of_all_risks(node, options)
    stated = {risk: _stated(there) for risk, there in of_risk.items()}
    kept: dict[str, Any] = {}
    for key, settings in cast(Mapping[str, Any], every).items():
        kept[key] = settings
        if isinstance(settings, Mapping) and (names := stated.get(_risk_named(key), set[str]())):
            names -= _said_of(f"metric.every.{key}", said)
            kept[key] = {name: value for name, value in cast(Mapping[str, Any], settings).items() if name not in names}
    return {**metric, "every": kept}


def announced(config: Mapping[str, Any], risks: Collection[str]) -> list[str]:
    """What a configuration's suites on these risks consist of and cost, a line for each."""
    attack = cast(Mapping[str, Any], config["attack"])
    suites = attack.get("suites") or ([attack] if attack.get("_target_") == SUITE else [])
    found = list(suites.values()) if isinstance(suites, Mapping) else suites
    lines: list[str] = []
    for node in cast(Sequence[Mapping[str, Any]], found):
        if node["risk"] not in risks:
            continue
        cost = node.get("about", {}).get("cost")
        stated = f"about {cost:g} times the cost of the default attack" if cost else "its cost is not stated"
        lines.append(f"{node['risk']} ({node['strength'] or 'own'}): {', '.join(node['attacks'])}; {stated}")
    return lines


def _of_all_risks(node: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, dict[str, Any]]:
    """By risk the suite of its `<anything>_strongest`, at the strength of the node."""
    found: dict[str, dict[str, Any]] = {}
    for option in options.values():
        if option.name.endswith(f"_{STRONGEST}"):
            there = cast(dict[str, Any], read_option(Path(option.file)))
            found[option.risk] = {**there, "strength": node["strength"]}
    return found


def _stated(node: Mapping[str, Any]) -> set[str]:
    """The settings that the strength of a suite gives to any of its attacks."""
    entries = (
        (node.get("strengths") or {}).get(str(node.get("strength") or "")) if node.get("attacks") is None else None
    )
    own = {"attack", "name"}
    return {
        key for entry in entries or () if isinstance(entry, Mapping) for key in cast(Mapping[str, Any], entry)
    } - own


def _risk_named(word: str) -> str:
    try:
        return risk_of(word).name
    except KeyError:  # `among`; what is no risk is refused elsewhere
        return ""


def _said_of(prefix: str, said: Mapping[str, Any]) -> set[str]:
    """The settings under a key that the command line gives, one by one or as a mapping."""
    found = {key.removeprefix(f"{prefix}.").split(".")[0] for key in said if key.startswith(f"{prefix}.")}
    whole = said.get(prefix)
    return found | set(cast(Mapping[str, Any], whole)) if isinstance(whole, Mapping) else found


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
