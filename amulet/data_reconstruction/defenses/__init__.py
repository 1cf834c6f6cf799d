"""Defences against data reconstruction: differential privacy is one (paper: PD1) and lives with membership inference."""

__all__: list[str] = []
