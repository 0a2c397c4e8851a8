"""A faster way to run a module: traced, simplified, compiled, or replayed as a CUDA graph."""
