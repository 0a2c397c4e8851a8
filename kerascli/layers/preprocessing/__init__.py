"""Layers that preprocess numbers, images and sound. Text, and what is learned from data, is preprocessed by data
transforms."""
