"""Losses of Keras: a loss is computed per sample, then weighted, masked and reduced."""
