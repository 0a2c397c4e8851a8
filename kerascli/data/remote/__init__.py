"""Data that is copied or frozen once in the cache folder: of addresses, and texts larger than memory."""
