"""Activations, initializers, regularizers and constraints, the parts that layers and optimizers share."""
