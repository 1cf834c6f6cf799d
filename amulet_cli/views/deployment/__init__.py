"""A report to hand on as a page, as PDF, as a model card, as JSON."""
