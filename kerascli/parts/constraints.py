"""Constraints: projections of weights after each update (keras.constraints)."""
