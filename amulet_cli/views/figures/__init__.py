"""Figures: functions from data to a matplotlib figure, one module per kind. Import them where they are drawn."""
