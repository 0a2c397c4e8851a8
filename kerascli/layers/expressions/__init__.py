"""Layers defined by a formula."""
