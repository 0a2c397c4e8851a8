"""Data: sources give columns in splits, pipelines turn them into model inputs and targets."""
