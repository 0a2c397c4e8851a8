"""Import of Keras's files into a model section and weights."""
