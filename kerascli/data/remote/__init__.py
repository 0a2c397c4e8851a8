"""Data that is copied or frozen once in the cache folder: of addresses, databases, and texts larger than memory."""
