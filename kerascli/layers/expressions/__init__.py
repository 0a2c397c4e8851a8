"""Layers that are formulas."""
