"""Warnings about configs that are valid but probably not as intended; each check is a function of a config and its
data."""
