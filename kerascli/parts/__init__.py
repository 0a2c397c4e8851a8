"""Activations, initializers, regularizers and constraints, which layers and optimizers have as arguments."""
