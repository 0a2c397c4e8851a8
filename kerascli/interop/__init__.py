"""Import and export of model files: Keras's formats, read as untrusted input, and torch's."""
