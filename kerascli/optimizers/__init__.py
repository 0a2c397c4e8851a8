"""Optimizers of Keras, with the numerics of keras.optimizers; they update all weights as a few flat vectors."""
