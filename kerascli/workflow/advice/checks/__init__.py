"""Advice checks of configs: every module here has a function `check(case)` that yields warnings; all are run."""
