"""Layers that make features of raw numbers; what learns from the data, or takes text, is a transform of the data."""
