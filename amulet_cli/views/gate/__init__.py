"""A gate's judgements as a table, and as the files that programs read."""
