"""Tensor operations that formulas in a config can call: the functions of keras.ops, under Keras's names."""
