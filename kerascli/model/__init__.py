"""The config's `model` section: read into nodes, checked by shape inference, run as one torch module."""
