"""A layer's own `seed`."""

from collections.abc import Iterator
from contextlib import contextmanager

from kerascli import draws


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws inside the block follow `seed` too: another seed gives other numbers, the rest of the key stays.

    Keras's layer seeds replace the global seed; here they refine the run's, so that every step, rank and call
    still draws its own numbers and a resumed run repeats them.
    """
    if seed is None:
        yield
        return
    nodes = draws.node_stack()
    nodes.append(f"seed={seed}")
    try:
        yield
    finally:
        nodes.pop()
