"""From a model and its weights to Keras's files."""
