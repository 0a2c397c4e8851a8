"""Run folders: record of a training, its history and checkpoints, and lookup of runs. Does not import torch."""
