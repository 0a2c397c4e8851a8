"""Tensor operations that formulas in a config can call: those of keras.ops, under Keras's names."""
