"""Data: transforms."""
