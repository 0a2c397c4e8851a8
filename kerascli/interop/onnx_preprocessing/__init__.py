"""Preprocessing and predictions as operations of an ONNX file, whose inputs then are the columns of raw rows."""
