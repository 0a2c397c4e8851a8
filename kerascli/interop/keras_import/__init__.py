"""Import of Keras's files: convert the model to a config's `model` section, and read its weights."""
