"""Keras's callbacks, as pure functions from the logs of an epoch to decisions (stop, save a checkpoint ...)."""
