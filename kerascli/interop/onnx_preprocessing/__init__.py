"""Preprocessing and answers as operations of an ONNX graph: raw columns in, predictions out."""
