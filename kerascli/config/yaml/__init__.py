"""Strict YAML, in and out: every key and value has its place in the text."""
