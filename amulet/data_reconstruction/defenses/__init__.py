"""Defences against data reconstruction: the paper has differential privacy, which lives with membership inference."""

__all__: list[str] = []
