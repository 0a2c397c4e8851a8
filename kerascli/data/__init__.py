"""Data loading and preprocessing: data sources load columns, transforms turn them into model inputs and targets."""
