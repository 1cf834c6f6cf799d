"""The version, for whoever must know it without the rest of the package."""

__version__ = "0.1.0"
