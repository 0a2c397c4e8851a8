"""Metrics of Keras. A metric's states (sums, counts) of several batches and processes can be added."""
