"""The checks: every module here has a function `check`, which is found by being here."""
