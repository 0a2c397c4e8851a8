"""Keras's callbacks, as pure functions from the facts of an epoch to decisions."""
