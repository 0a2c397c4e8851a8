"""Layers: wrappers of other layers."""
