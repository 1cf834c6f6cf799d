"""The interaction matrix: every defence x every risk, from any runs."""
