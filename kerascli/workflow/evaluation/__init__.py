"""Parts of an evaluation: groups of rows, thresholds between two classes, and the numbers that a run keeps."""
