"""From runs to groups of seeds, paired comparisons, verdicts and matrices: once, for every reader."""
