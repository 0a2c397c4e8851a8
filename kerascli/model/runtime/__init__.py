"""Execution of a model: the graph module, masks, loops over time steps, shared layers and weights."""
