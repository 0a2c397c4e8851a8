"""Layers, one short file each: the settings in Keras's vocabulary together with the torch module."""
