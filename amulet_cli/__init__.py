"""The `amulet` command: composes configurations, calls the library, writes results."""
