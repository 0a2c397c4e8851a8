"""Metrics of Keras. A metric's states (sums, counts) of several batches can be added."""
