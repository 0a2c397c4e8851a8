"""Strict YAML reader, which keeps the position of every key and value, and YAML writer."""
