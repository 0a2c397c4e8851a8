"""Data pipelines: fit the transforms on the training rows, then prepare the rows of each split."""
