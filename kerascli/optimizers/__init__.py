"""Optimizers of Keras: the numbers of keras.optimizers, over flat buffers."""
