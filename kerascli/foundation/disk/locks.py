"""Exclusive locks on folders; the system releases them however the process ends.

On Windows they are of one byte far behind the file's text, since a locked byte cannot be read by others.
"""

import contextlib
import importlib
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from kerascli.foundation.disk import flags
from kerascli.foundation.disk.storage import reported
from kerascli.foundation.errors import StorageError, safe_text

_LOCK_FILE = ".lock"
_LOCKED_BYTE = 2**30


class Locked(StorageError):
    """Error about a folder whose lock another process holds."""


@contextlib.contextmanager
def lock(folder: Path, *, patience_seconds: float = 0.07, name: str = _LOCK_FILE) -> Iterator[None]:
    """Context manager that holds the exclusive lock of `folder` for the duration of the `with` block.

    `name` is that of the locked file in it; locks with different files do not exclude each other.

    Raises Locked if another process holds it for longer than `patience_seconds`, StorageError if it cannot be made.
    """
    with reported("lock", folder):
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | flags.NOFOLLOW | flags.ALWAYS, 0o666)
        try:
            if not _acquire(descriptor, patience_seconds):
                raise Locked(f"'{safe_text(str(folder))}' is in use by {_holder(descriptor)}")
            os.ftruncate(descriptor, 0)
            since = datetime.now().astimezone().isoformat(" ", "seconds")[:19]
            here = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            os.write(descriptor, json.dumps(here).encode())
        except BaseException:
            os.close(descriptor)
            raise
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a forked child, where the number may be another file's by now
            _held.discard(descriptor)
            _lock(descriptor, "UN")
            os.close(descriptor)


def locked(folder: Path, name: str = _LOCK_FILE) -> bool:
    """Return True if a process holds the lock of `folder` on its file `name`."""
    try:
        # O_NONBLOCK: opening a FIFO of that name must not hang.
        descriptor = os.open(folder / name, os.O_RDONLY | flags.NOFOLLOW | flags.NONBLOCK | flags.ALWAYS)
    except OSError:
        return False
    try:
        _lock(descriptor, "SH")
        _lock(descriptor, "UN")
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def _acquire(descriptor: int, patience_seconds: float) -> bool:
    """Try to lock an open file exclusively; return True if that succeeds within `patience_seconds`.

    They should not be 0, since `locked` in another process locks for a moment.
    """
    end = time.monotonic() + patience_seconds
    while True:
        with contextlib.suppress(BlockingIOError, PermissionError):
            _lock(descriptor, "EX")
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.01)


def _lock(descriptor: int, kind: Literal["SH", "EX", "UN"]) -> None:
    """Lock an open file (shared, exclusively) without waiting, or unlock it. Windows has no shared locks, and would
    unlock a closed file at some later time.

    Raises OSError if another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        msvcrt: Any = importlib.import_module("msvcrt")
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)  # it locks from the file's position on
        try:
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK if kind == "UN" else msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, getattr(fcntl, f"LOCK_{kind}") | fcntl.LOCK_NB)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.read(descriptor, 4096))
        return safe_text(f"pid {holder['pid']} on host {holder['host']} since {holder['since']}")
    except (ValueError, TypeError, KeyError, RecursionError):  # read between its locking and its writing
        return "another process"
