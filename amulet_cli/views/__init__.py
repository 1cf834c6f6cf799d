"""From an analysis to what people read: console, Markdown, CSV, Parquet, LaTeX, HTML, figures."""
