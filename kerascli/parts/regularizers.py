"""Regularizers: penalties on weights or outputs (keras.regularizers)."""
