"""`amulet gate`: results held against the limits of a policy."""

import sys
from collections.abc import Sequence
from datetime import datetime

from amulet_cli.analysis.gate.judging import judge_policy
from amulet_cli.analysis.gate.policy import read_policy, shipped_policies
from amulet_cli.base.console import out
from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import Forms, write_forms
from amulet_cli.base.flags import FILES, FOLDERS, CommandLine, matching
from amulet_cli.results.reading import find_results
from amulet_cli.views.gate.files import gate_json, gate_junit, gate_sarif
from amulet_cli.views.gate.table import gate_markdown, gate_table, summary


def command_line() -> CommandLine:
    """A policy, folders, and where to write what programs read."""
    return CommandLine(
        f"""
        amulet gate POLICY [FOLDER ...]

        Holds every run in the folders (./outputs if none is given) against the limits of a policy: each passes, fails,
        is inconclusive, or is not measured. A policy is a YAML file, or one that comes with Amulet:
        {", ".join(shipped_policies())}.

        What to write (- is the standard output):
        --json           everything as JSON on the standard output, instead of the table
        --junit FILE     JUnit's XML, for a build server
        --sarif FILE     SARIF 2.1.0, for code scanning
        --markdown FILE  the table as Markdown, for a comment

        Examples:
        amulet gate bank_credit outputs  may this model decide on credit?
        amulet gate policy.yaml outputs --junit gate.xml  a policy of your own, and a file for the build server

        Exit code: 0 every limit is kept, 3 a limit is broken, 4 a limit could not be decided, 2 the command is wrong.
        """,
        words=_complete,
    )


def _complete(before: Sequence[str], word: str) -> list[str]:
    return matching((FOLDERS,), word) if before else [*matching(shipped_policies(), word), *matching((FILES,), word)]


def main(words: list[str]) -> int:
    """Judge, show, write; the exit code says what came of it."""
    names, asked = command_line().parse(words)
    if not names:
        raise UsageError("`amulet gate` needs a policy", expected="a YAML file, or " + ", ".join(shipped_policies()))
    policy = read_policy(names[0])
    results = find_results(names[1:] or ["outputs"])
    if not results:
        raise UsageError(
            f"There is no run in {', '.join(names[1:] or ['outputs'])}",
            expected="the output folder of `amulet run`, or any folder below it",
        )
    gate = judge_policy(policy, results)
    now = datetime.now().astimezone()
    forms: Forms = {
        "junit": lambda: gate_junit(gate, now),
        "sarif": lambda: gate_sarif(gate),
        "markdown": lambda: gate_markdown(gate),
    }
    files = {form: name for form in forms if (name := asked.get(f"--{form}"))}
    if "--json" in asked:
        sys.stdout.write(gate_json(gate))
    elif "-" not in files.values():
        out.print(gate_table(gate))
        out.print()
        out.print(summary(gate), soft_wrap=True)
    write_forms(forms, files)
    return gate.exit_code
