"""S1 evasion: small changes of inputs that make a model answer wrongly."""
