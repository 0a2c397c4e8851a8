"""Keras's metrics; their states (sums, counts) of batches and processes can be added."""
