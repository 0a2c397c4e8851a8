"""Checks before training: ranges of labels and token ids, and the batch size to evaluate with."""
