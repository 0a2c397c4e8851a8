"""Layers, one short file each: the settings in Keras's words beside the torch code."""
