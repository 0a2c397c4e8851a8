"""Samples (images, plots, texts) that a model generates for callbacks, during training and afterwards."""
