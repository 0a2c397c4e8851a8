"""Keras's optimizers, with the numerics of keras.optimizers, over flat parameter vectors."""
