"""Looking at prepared rows."""

from kerascli.data.batches.rows import MemorySplit, Split


def whole(split: Split) -> MemorySplit:
    """All rows of a split, in memory."""
    return split.read(slice(None))
