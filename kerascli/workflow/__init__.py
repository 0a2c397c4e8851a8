"""Train, evaluate, predict: build, run, record; each yields or returns what the edges show."""
