"""Keras's optimizers, with the numerics of keras.optimizers; they update all weights as a few flat vectors."""
