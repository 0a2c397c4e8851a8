"""Run folders: the files of a training (config, history, checkpoints ...), and lookup of runs. Does not import torch."""
