"""Data of a run: sources load columns in splits, pipelines of transforms turn them into model inputs and targets."""
