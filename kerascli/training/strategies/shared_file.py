"""Temporary file that the processes of one machine share."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from kerascli.training.strategies.group import Group


@contextmanager
def file_of_machine(group: Group, folder: str) -> Iterator[IO[bytes]]:
    """Context manager with an open temporary file, the same for all processes of a machine: the first of them may write
    it, the others read it.

    It is unlinked as soon as all have opened it. Raises OSError, and ProcessLost.
    """
    world, path = group.world, None
    with ExitStack() as named:
        if world.local_rank == 0:
            handle, path = tempfile.mkstemp(dir=folder)
            named.callback(os.unlink, path)
            os.close(handle)
        path = group.agree(path)[world.rank - world.local_rank]
        with open(path, "rb" if world.local_rank else "r+b", buffering=0) as file:
            group.agree(None)
            named.close()
            yield file
