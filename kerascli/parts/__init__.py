"""The small parts that layers are made of: activations, initializers, regularizers, constraints."""
