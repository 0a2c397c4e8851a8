"""Optimizers of Keras with the numerics of keras.optimizers; each updates all weights as a few flat vectors."""
