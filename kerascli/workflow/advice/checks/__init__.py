"""Advice checks of configs: every module in this package has a function `check(case)` that yields warnings."""
