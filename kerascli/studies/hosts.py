"""Find out whether file locks hold between the hosts that share the folder of a study."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import StorageError
from kerascli.runs.reading import quoted, read_text

ANSWER_SECONDS = 10.0
"""Time in which a command on another host answers, unless it has ended."""
_SEEN = "seen.txt"


@contextlib.contextmanager
def announced(study: Path) -> Iterator[Callable[[], bool]]:
    """Context manager that announces this command to those of other hosts, by a folder that it holds locked.

    It yields a function that answers the others, whether their locks are seen here, and returns True if there are some.
    Raises StorageError if another host has answered that it does not see the lock of this one: each would train the
    trials of the other.
    """
    folder, host = study / "hosts", socket.gethostname()
    own = folder / f"{host}-{os.getpid()}"
    storage.make_folder(own)

    def answer() -> bool:
        others = [path for path in folder.iterdir() if path.name.rpartition("-")[0] != host]
        for path in others:
            if not (path / _SEEN).exists():
                storage.write_text(path / _SEEN, "locked" if locks.locked(path) else "not locked")
        return bool(others)

    with locks.lock(own):
        end, seen = time.monotonic() + ANSWER_SECONDS, own / _SEEN
        while answer() and not seen.exists() and time.monotonic() < end:
            time.sleep(0.1)
        if seen.exists() and read_text(seen) != "locked":
            text = f"file locks in {quoted(study)} do not hold between hosts: one of them does not see those of {host}"
            raise StorageError(text, hint="use one host, or a file system with locks (NFSv4, Lustre with flock)")
        yield answer
    with contextlib.suppress(StorageError):
        storage.remove_folder(own)
