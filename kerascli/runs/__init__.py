"""Run folders: the files of a training (config, history.csv, checkpoints ...), and lookup of runs; without torch."""
