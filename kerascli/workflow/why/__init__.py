"""Reasons for a model's predictions: which columns, pixels, words or time steps they depend on."""
