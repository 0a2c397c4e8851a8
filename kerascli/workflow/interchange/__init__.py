"""Import and export of models and weights: Keras, PyTorch, ONNX."""
