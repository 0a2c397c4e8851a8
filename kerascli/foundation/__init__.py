"""Modules without knowledge of Keras that all others may import: errors, events, signals, draws, devices, the disk."""
