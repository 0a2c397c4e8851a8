"""Modules that compute the losses and metrics of a training step from a batch."""
