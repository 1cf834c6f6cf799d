"""Defences against data reconstruction: the paper has differential privacy, which is in membership inference."""

__all__: list[str] = []
