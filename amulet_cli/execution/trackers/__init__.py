"""Trackers: results are sent to them once they are written. Their errors are warnings and never lose a result.

A tracker is a class that a `_target_` of the group `logger` names: its keyword-only arguments are its settings.
"""

from amulet_cli.execution.trackers.base import Run, Sweep, Tracker
from amulet_cli.execution.trackers.tracking import Tracking, check, track, track_done

__all__ = ["Run", "Sweep", "Tracker", "Tracking", "check", "track", "track_done"]
