"""Workflows of the commands (train, evaluate, export ...): functions that return results or yield events."""
