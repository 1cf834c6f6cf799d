"""The verbs, one thin module each: `SUMMARY`, `HELP` and ``main(words) -> int``."""
