"""Training on several processes: shards of batches, and the sums over them."""
