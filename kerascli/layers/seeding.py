"""A layer's own `seed`."""

from kerascli.draws import seeded

__all__ = ["seeded"]
