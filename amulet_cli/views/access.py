"""The table of docs/access.md: what each attack needs of the model that it attacks, from what the attacks state.

`python -m amulet_cli.views.access > docs/access.md` writes it.
"""

import sys
from collections.abc import Iterator

from amulet.assessment.risks import risk_of
from amulet.core import Attack
from amulet.core.access import Access, granting, missing
from amulet_cli.views.combinations import options

_HEAD = """\
# What each attack needs

Written by `python -m amulet_cli.views.access` from what the attacks state, with their default settings. An attack that
needs more than the victim grants is refused before anything is trained. [victims.md](victims.md) says which victim
grants what.

`answers`: probabilities for records of the adversary's choice; their logarithms serve as logits (a service, an ONNX
file). `refitted`: answers, and other models that are trained as it was (an estimator). `network`: everything.
"""
_ANSWERS = Access.LOGITS | Access.QUERIES
_KINDS = {
    "labels": Access.LABELS | Access.QUERIES,
    "answers": _ANSWERS,
    "refitted": _ANSWERS | Access.TRAINING,
    "network": ~Access(0),
}


def markdown() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield f"| risk | attack | needs | {' | '.join(_KINDS)} |"
    yield "|---" * (3 + len(_KINDS)) + "|"
    attacks = [(name, made) for name, made in options("attack").items() if isinstance(made, Attack)]
    for name, attack in sorted(attacks, key=lambda pair: (risk_of(pair[1].risk).code, pair[0])):
        cells = ["no" if missing(attack.needs, granting(kind)) else "yes" for kind in _KINDS.values()]
        yield f"| {risk_of(attack.risk).code} | {name} | {attack.needs.words()} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
