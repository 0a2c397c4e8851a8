"""Layers that preprocess numbers, images and sound. kerascli/preprocessing has those for text and those that learn."""
