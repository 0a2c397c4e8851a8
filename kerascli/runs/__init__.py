"""Run folders: a training's files (config, history, checkpoints ...), and lookup of runs. Does not import torch."""
