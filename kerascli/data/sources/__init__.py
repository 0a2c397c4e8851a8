"""Data sources: one module for each source, registered by name."""
