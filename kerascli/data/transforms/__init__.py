"""Transforms: the steps of data pipelines, one module for each, registered by name."""
