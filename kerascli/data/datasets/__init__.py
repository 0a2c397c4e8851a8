"""Data sources for public datasets: one module for each, or for several that share a format."""
