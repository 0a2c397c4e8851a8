"""Layers that prepare numbers, images and sound; what learns from data, or takes text, is a transform of the data."""
