"""Layers that preprocess numbers, images and sound. Data pipelines have the transforms of text and those that learn."""
