"""Import and export of models and weights, in the file formats of Keras, PyTorch and ONNX."""
