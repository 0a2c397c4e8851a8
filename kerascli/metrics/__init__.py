"""Metrics of Keras; a metric's states (sums, counts) over several batches and processes can be added."""
