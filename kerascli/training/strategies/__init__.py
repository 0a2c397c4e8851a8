"""Strategies: one process, data parallel (with shards), fully sharded; and the communication that they use."""
