"""Shapes of a model's tensors: its modules are built and run on the meta device."""
