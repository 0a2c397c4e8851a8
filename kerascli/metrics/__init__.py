"""Metrics of Keras, as states that add up over batches and processes."""
