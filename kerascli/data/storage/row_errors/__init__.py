"""Errors about rows of tables: which rows they are, and the lines of their file."""
