"""Checks before training: label ranges, and how many rows are evaluated at once."""
