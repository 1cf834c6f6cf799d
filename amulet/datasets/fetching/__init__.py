"""Files from their official sources: over HTTP, verified, unpacked, complete or not at all."""
