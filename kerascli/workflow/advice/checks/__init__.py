"""Advice checks: every module here has a function `check(case)`, and all modules are run."""
