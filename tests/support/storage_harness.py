"""Faults in file operations: a process that is killed before the n-th, a disk that fails at it, and power cuts."""

import os
import signal
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.torture.disk import OPERATIONS, Disk, Fault, die
from kerascli.foundation.disk import storage


def before_operations(patch: pytest.MonkeyPatch, call: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Run `call` before every file operation; writes are split, so that it also runs between their parts."""

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            call(name, arguments)
            if name == "_write":
                descriptor, data = arguments
                return real(descriptor, data[: max(1, len(data) // 2)] if len(data) > 200 else data)
            return real(*arguments)

        return operation

    for name in OPERATIONS:
        patch.setattr(storage, name, watched(name, getattr(storage, name)))


def disk_of(patch: pytest.MonkeyPatch, fault: Fault, nth: int, *, ever_after: bool = False) -> Disk:
    """Route file operations through a disk whose n-th operation does `fault`, until the patch is undone."""
    disk = Disk(fault, nth, ever_after=ever_after)
    for name in OPERATIONS:
        patch.setattr(storage, name, disk.faulty(name, getattr(storage, name)))
    return disk


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a child process, and return its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12+ warns of forks beside other tests' threads
        pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; return its wait status, 0 on success."""
    return os.waitpid(fork(work), 0)[1]


def crash_points(prepare: Callable[[], None], work: Callable[[], object]) -> Iterator[bool]:
    """Kill `work` before its first file operation, then before its second ...; yield whether it finished."""
    for nth in range(1, 500):

        def dying(nth: int = nth) -> None:
            with pytest.MonkeyPatch.context() as patch:
                disk_of(patch, die, nth)
                work()

        prepare()
        status = in_child(dying)
        assert status in (0, signal.SIGKILL)
        yield status == 0
        if status == 0:
            return
    raise AssertionError("it never came to its end")


def in_place(path: Path, data: bytes) -> None:
    """Control: write in place, as a program without crash safety does."""
    descriptor = storage._open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    view = memoryview(data)
    while view:
        view = view[storage._write(descriptor, view) :]
    storage._fsync(descriptor)
    storage._close(descriptor)


def place_in_place(file: storage.Staged, path: Path) -> None:
    """Control of `place`: copy the new file over the old one in place."""
    in_place(path, file.temporary.read_bytes())
    storage._unlink(file.temporary)


class PowerCuts:
    """States that a power cut may leave of a folder: only synced data is certain to exist.

    Two states are at the ends of what a file system may do: `forgotten`, in which no name is newer than the last sync
    of its folder, and `emptied`, in which all names are there and files hold what was synced of them.
    """

    def __init__(self, patch: pytest.MonkeyPatch, root: Path, call: Callable[["PowerCuts"], None]) -> None:
        self.root = root
        self._files: dict[int, object] = {}
        """Inode -> file; a reused inode number is another file."""
        self._synced: dict[object, bytes] = {}
        self._names: dict[Path, dict[str, object]] = {}
        self._folders: dict[int, Path] = {}
        for name, after in (("_open", self._opened), ("_fsync", self._fsynced)):
            patch.setattr(storage, name, self._then(getattr(storage, name), after))
        before_operations(patch, lambda name, arguments: call(self))

    def emptied(self) -> dict[Path, bytes | None]:
        return {path: self._content(path) for path in self.root.rglob("*")}

    def forgotten(self) -> dict[Path, bytes | None]:
        found: dict[Path, bytes | None] = {}
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            for name, file in self._names.get(folder, {}).items():
                path = folder / name
                if file is None:
                    found[path] = None
                    waiting.append(path)
                else:
                    found[path] = self._synced.get(file, b"")
        return found

    def _content(self, path: Path) -> bytes | None:
        if path.is_dir():
            return None
        return self._synced.get(self._files.get(path.stat().st_ino), path.read_bytes())

    def _then(self, real: Callable[..., Any], after: Callable[..., None]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            result = real(*arguments)
            after(result, *arguments)
            return result

        return operation

    def _opened(self, descriptor: int, path: Path, flags: int) -> None:
        if path.is_dir():
            self._folders[descriptor] = path
        elif flags & os.O_CREAT:
            file = self._files[os.fstat(descriptor).st_ino] = object()
            self._synced[file] = b""

    def _fsynced(self, result: None, descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            self._synced[self._files[path.stat().st_ino]] = path.read_bytes()
            return
        folder = self._folders[descriptor]
        if not folder.is_relative_to(self.root):
            return
        self._names[folder] = {
            path.name: None if path.is_dir() else self._files[path.stat().st_ino]
            for path in folder.iterdir()
            if path.name != ".lock"  # nobody's but the process's
        }
