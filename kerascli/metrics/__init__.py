"""Keras's metrics, as states that add up over batches and processes."""
