"""Warnings about a config that trains as it stands, but probably not as it was meant to: a file a check."""
