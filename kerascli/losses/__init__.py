"""Losses of Keras: a value a sample, then weights, masks and a reduction."""
