"""Data: datasets."""
