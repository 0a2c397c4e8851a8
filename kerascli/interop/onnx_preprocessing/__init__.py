"""Preprocessing and predictions as operations of an ONNX file, so that the file's inputs are columns of raw rows."""
