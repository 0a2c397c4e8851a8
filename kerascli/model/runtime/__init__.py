"""The module that runs a model: executor, masks, loops over steps, shared layers, weights."""
