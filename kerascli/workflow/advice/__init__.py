"""Warnings about configs that are valid but probably not as intended: one file for each check."""
