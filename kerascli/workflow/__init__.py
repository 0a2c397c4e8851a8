"""Workflows of the commands: build, run and record; generators of events or functions that return results."""
