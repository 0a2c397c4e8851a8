"""Data: sources."""
