"""Tensor operations for expressions: those of keras.ops, under Keras's names."""
