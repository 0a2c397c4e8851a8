"""Parsing of a config's `model` section into nodes, with a config error for everything that does not fit."""
