"""Training of the trials of a study by several workers."""
