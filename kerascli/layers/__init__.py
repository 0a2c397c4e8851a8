"""Layers of Keras, a short file for each: the class of its settings, under Keras's names, and its torch module."""
