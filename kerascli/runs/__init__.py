"""Run folders: the files of a training run (config, history.csv, checkpoints ...), and their lookup; without torch."""
