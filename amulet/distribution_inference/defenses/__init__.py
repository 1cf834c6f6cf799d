"""Defences against distribution inference: none is known with a guarantee (paper, Section 2.2)."""

__all__: list[str] = []
