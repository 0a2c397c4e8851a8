"""Workflows behind the commands (train, evaluate, export ...): functions that return results or yield events."""
