"""Batches of prepared rows in the order of an epoch, with prefetching."""
