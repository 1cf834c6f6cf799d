"""Everything that knows nothing about runs: errors, consoles, number formats, files, help pages, flags."""
