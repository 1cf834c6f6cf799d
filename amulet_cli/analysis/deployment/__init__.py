"""What a report to hand on says: one served model, in plain words, from its runs."""
