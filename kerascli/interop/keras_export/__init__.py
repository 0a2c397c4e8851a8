"""Export of a model and its weights to Keras's file formats."""
