"""Samples that a model makes while it trains, and afterwards."""
