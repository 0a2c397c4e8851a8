"""Layers that compute a formula over nodes of the model, given in the config."""
