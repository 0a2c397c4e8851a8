"""Warnings about configs that are valid but probably not as intended; each check has a file in checks/."""
