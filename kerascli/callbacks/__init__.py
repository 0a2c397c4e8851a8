"""Callbacks of Keras as pure decisions: facts in, decisions out."""
