"""The HTML report: one page with everything in it that runs have to say, made from a report and its runs."""
