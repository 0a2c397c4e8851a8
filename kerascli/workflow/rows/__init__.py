"""Rows that a command works on: those of a run, of files, of standard input, or arrays by name."""
