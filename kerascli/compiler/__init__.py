"""Faster execution of PyTorch functions and modules: traced, simplified, compiled, or replayed as a CUDA graph."""
