"""From Keras's files to a model section and weights."""
