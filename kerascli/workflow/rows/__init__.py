"""Rows that a command works on: rows of a run's data, of files, of standard input, or arrays by name."""
