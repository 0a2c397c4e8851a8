"""Samples that a model generates during training and afterwards."""
