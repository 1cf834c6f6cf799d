"""Files from their official places: over HTTP, checked, unpacked, whole or not at all."""
