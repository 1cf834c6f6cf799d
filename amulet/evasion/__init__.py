"""S1 evasion: inputs changed a little so that a model gets them wrong."""
