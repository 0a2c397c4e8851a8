"""Keras's losses: one value per sample, then sample weights, masks and a reduction."""
