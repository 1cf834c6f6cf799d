"""A local page on which runs are browsed, compared and followed: `amulet view`."""
