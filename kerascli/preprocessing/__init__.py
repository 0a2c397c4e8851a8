"""Preprocessing operations that exist both as layers and as data transforms: shared settings, modules, computations."""
