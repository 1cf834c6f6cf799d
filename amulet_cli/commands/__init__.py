"""The verbs, one thin module each: `SUMMARY`, `HELP` and ``main(words) -> int``."""

VERBS = ("run", "audit", "matrix", "validate", "list", "report", "plot", "compare", "data", "completion")
