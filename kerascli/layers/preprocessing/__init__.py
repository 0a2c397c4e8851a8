"""Layers that preprocess numbers, images and sound. What learns from data or takes text is a data transform."""
