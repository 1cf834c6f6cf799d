"""What survives: `python -m tests.helpers.torture --help`. Each part counts what it tried and names what was lost."""
