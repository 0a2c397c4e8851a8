"""Strict YAML reader and writer; the reader keeps the position of every key and value."""
