"""Helper to inspect prepared rows."""

from kerascli.data.batches.rows import MemorySplit, Split


def whole(split: Split) -> MemorySplit:
    """Return all rows of a split, in memory."""
    return split.read(slice(None))
