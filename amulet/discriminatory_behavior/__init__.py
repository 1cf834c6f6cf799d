"""F discriminatory behavior: a model that treats groups of people differently."""
