"""Rows that a command predicts or evaluates: of a run's data, files, standard input, or arrays by name."""
