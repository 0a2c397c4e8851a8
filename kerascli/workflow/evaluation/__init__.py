"""Parts of an evaluation: groups of rows, thresholds between two classes, and the results stored in a run folder."""
