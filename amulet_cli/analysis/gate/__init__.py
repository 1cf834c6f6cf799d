"""Limits that a policy sets, held against what runs measured."""
