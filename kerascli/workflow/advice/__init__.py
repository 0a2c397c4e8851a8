"""Advice checks, which warn of a config that is valid but probably not as intended, given its data."""
