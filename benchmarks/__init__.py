"""Measurements: of speed beside other libraries (`speed`), and of attacks, intervals and verdicts, a script each."""
