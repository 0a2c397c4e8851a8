"""The `model` section: parsed to nodes, inferred to shapes, run as one module."""
