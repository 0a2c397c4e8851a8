"""Warnings about configs that are valid but probably not as intended; each check is a module in checks/."""
