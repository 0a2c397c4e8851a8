"""Losses of Keras: each is computed per sample, then weighted, masked and reduced."""
