"""Strategies: one process, data parallel (with shards), fully sharded; and the communication below them."""
