"""Layers that preprocess numbers, images and sound; data transforms cover what learns from data or takes text."""
