"""Checks before training: ranges of labels and token ids, and choice of the batch size for evaluation."""
