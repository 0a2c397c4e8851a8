"""Faster execution of modules: traced, simplified, compiled, or replayed as a CUDA graph."""
