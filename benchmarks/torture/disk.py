"""A disk that fails: at any operation of `kerascli/foundation/disk/storage.py` a process can die, or get an error."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kerascli.foundation.disk import storage

OPERATIONS = ("_open", "_write", "_fsync", "_close", "_rename", "_unlink", "_mkdir", "_rmtree")
"""Functions of `kerascli.foundation.disk.storage` through which all writes go; a test compares it with the file."""
REMOVALS = ("_unlink", "_rmtree")

Fault = Callable[[], None]


class Disk:
    """Record of the file operations, of which the n-th does `fault`.

    Writes come in pieces, so that a fault can fall between them.
    """

    def __init__(self, fault: Fault, nth: int, *, ever_after: bool = False) -> None:
        self.count = 0
        self.done: list[str] = []
        self._fault, self._nth, self._ever_after = fault, nth, ever_after

    def faulty(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return the operation `real` with the fault in it."""

        def operation(*arguments: Any) -> Any:
            self.count += 1
            self.done.append(f"{name} {arguments[0].name}" if isinstance(arguments[0], Path) else name)
            now = self.count >= self._nth if self._ever_after else self.count == self._nth
            if now and name == "_close":
                real(*arguments)  # a descriptor is gone whatever close says
            if now:
                self._fault()
            if name == "_write":
                descriptor, data = arguments
                return real(descriptor, data[: max(1, len(data) // 2)] if len(data) > 200 else data)
            return real(*arguments)

        return operation


def install(fault: Fault, nth: int, *, ever_after: bool = False) -> Disk:
    """Let all operations of this process go through a `Disk`."""
    disk = Disk(fault, nth, ever_after=ever_after)
    for name in OPERATIONS:
        setattr(storage, name, disk.faulty(name, getattr(storage, name)))
    return disk


@contextlib.contextmanager
def failing_disk(fault: Fault, nth: int, *, ever_after: bool = False) -> Iterator[Disk]:
    """As `install`, within the block."""
    before = {name: getattr(storage, name) for name in OPERATIONS}
    try:
        yield install(fault, nth, ever_after=ever_after)
    finally:
        for name, real in before.items():
            setattr(storage, name, real)


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(code: int) -> Fault:
    """Return a fault that is the system's error of this number."""

    def fault() -> None:
        raise OSError(code, os.strerror(code))

    return fault


def without_waiting() -> None:
    """Ask no disk to sync. Here processes die, not the machine, so that waiting proves nothing."""
    os.fsync = lambda descriptor: None


def write_in_place() -> None:
    """The control: from here on this process writes over its files, as a program does that does not think of faults."""
    storage.place = _place_in_place


def _place_in_place(file: storage.Staged, path: Path) -> None:
    descriptor = storage._open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    rest = memoryview(file.temporary.read_bytes())
    time.sleep(0.003)  # a slow disk: kills come in between
    while rest:
        rest = rest[storage._write(descriptor, rest) :]
    storage._fsync(descriptor)
    storage._close(descriptor)
    storage._unlink(file.temporary)
