"""Carrying out runs: plan, preflight checks, one job, sweeps, launchers, progress, trackers."""
