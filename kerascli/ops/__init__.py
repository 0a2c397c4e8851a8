"""The tensor operations that expressions call: Keras's, by Keras's names."""
