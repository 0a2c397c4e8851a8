"""Exclusive locks on folders, between processes; the kernel releases them however the process ends."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from kerascli.disk.storage import reported
from kerascli.errors import StorageError, safe_text

_LOCK_FILE = ".lock"


@contextlib.contextmanager
def lock(folder: Path, *, patience_seconds: float = 0.07) -> Iterator[None]:
    """Context manager that holds the exclusive lock of `folder` for the duration of the `with` block.

    Raises StorageError if another process holds it for longer than `patience_seconds`.
    """
    with reported("lock", folder):
        descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            if not _acquire(descriptor, patience_seconds):
                raise StorageError(f"'{safe_text(str(folder))}' is in use by {_holder(descriptor)}")
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(_here()).encode())
        except BaseException:
            os.close(descriptor)
            raise
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a forked child, where the number may be another file's by now
            _held.discard(descriptor)
            os.close(descriptor)


def locked(folder: Path) -> bool:
    """Return True if a process holds the lock of `folder`."""
    try:
        # O_NONBLOCK: opening a FIFO of that name must not hang.
        descriptor = os.open(folder / _LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


_held: set[int] = set()


def _forget_locks() -> None:
    """Close inherited locks in a forked data worker, which must not keep them after its parent was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks)


def _acquire(descriptor: int, patience_seconds: float) -> bool:
    """Try to lock an open file exclusively; return True if that succeeds within `patience_seconds`.

    They should not be 0, since `locked` in another process locks for a moment.
    """
    end = time.monotonic() + patience_seconds
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.01)


def _here() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds")[:19],
    }


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return safe_text(f"pid {holder['pid']} on host {holder['host']} since {holder['since']}")
    except (ValueError, TypeError, KeyError, RecursionError):  # read between its locking and its writing
        return "another process"
