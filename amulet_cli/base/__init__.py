"""What knows nothing of runs: errors, consoles, how numbers are written, files, help pages, flags."""
