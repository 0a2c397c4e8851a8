"""Models: reading a config's `model` section into nodes, shape inference, and execution as one torch module."""
