"""Atomic, durable writes: a file is complete under its name, or the old one unchanged. All writes use this module.

The order is a temporary file in the same folder, fsync, close, rename, fsync of the folder. A kill or a power failure
at any moment leaves the old contents or the new, and a write that has returned survives both. A failed fsync is never
retried on the same file: the kernel may already have dropped the data.
"""

import contextlib
import csv
import errno
import io
import json
import math
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kerascli.foundation.disk import flags
from kerascli.foundation.disk.pieces import Piece, Pieces, hashing, pieces, slices
from kerascli.foundation.disk.temporary import is_left, temporary_path
from kerascli.foundation.errors import StorageError, mapped, safe_text

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# All file operations go through these functions, so that tests can make the n-th one fail or kill the process.

_write, _close, _rename, _unlink, _mkdir, _rmtree = os.write, os.close, os.replace, os.unlink, os.mkdir, shutil.rmtree


def _open(path: Path, mode: int) -> int:
    return os.open(path, mode | flags.ALWAYS, 0o666)


def _fsync(descriptor: int) -> None:
    with contextlib.suppress(ImportError, AttributeError):
        import fcntl

        try:  # macOS, whose fsync leaves the data in the drive's cache
            fcntl.fcntl(descriptor, getattr(fcntl, "F_FULLFSYNC"))  # noqa: B009  # others lack it
            return
        except OSError as error:
            if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:  # unsupported by network file systems
                raise
    os.fsync(descriptor)


class Staged(NamedTuple):
    """File that is complete and durable under a temporary name; the function `place` renames it to its final name."""

    temporary: Path
    size: int
    sha256: str


def write_bytes(path: Path, data: Piece | Pieces) -> str:
    """Replace the file at `path` atomically and return its SHA-256.

    After a StorageError the old file is intact, or, if only syncing the folder failed, the new one is in place.
    """
    with staged(path, data) as file:
        place(file, path)
    with reported("write", path):
        _sync_folder(path.parent)
    return file.sha256


@contextlib.contextmanager
def staged(path: Path, data: Piece | Pieces) -> Iterator[Staged]:
    """Context manager that writes `data` to a temporary file next to `path`, hashing it; `place` then renames it.

    It is removed unless it is placed. For files whose name or record needs their digest, and for several files that
    share one sync of their folder.
    """
    temporary, size = temporary_path(path), len(data)
    mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags.NOFOLLOW
    try:
        with (
            reported("write", path, needed_bytes=size or None),
            _opened(temporary, mode) as descriptor,
            hashing(size) as (digest, add),
        ):
            for each in slices(pieces(data)):
                add(each)
                _write_whole(descriptor, each)
            _fsync(descriptor)
        yield Staged(temporary, size, digest.hexdigest())
    except BaseException:
        with contextlib.suppress(OSError):
            _unlink(temporary)
        raise


def place(file: Staged, path: Path) -> None:
    """Rename a staged file to `path` in the same folder; the name is durable after `sync_folder`."""
    with reported("write", path, needed_bytes=file.size):
        _rename(file.temporary, path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable by fsync."""
    with reported("write", folder):
        _sync_folder(folder)


def append(path: Path, data: bytes) -> None:
    """Append data to an existing file; durable after `sync_file`. A killed process can leave only a part of `data`."""
    with reported("write", path, len(data)), _opened(path, os.O_WRONLY | os.O_APPEND | flags.NOFOLLOW) as descriptor:
        _write_whole(descriptor, data)


def sync_file(path: Path) -> None:
    """Make the data appended to a file durable by fsync."""
    with reported("write", path), _opened(path, os.O_RDONLY | flags.NOFOLLOW) as descriptor:
        _fsync(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by a text atomically, encoded by `text_bytes`."""
    write_bytes(path, text_bytes(text))


def text_bytes(text: str) -> bytes:
    """Encode text as UTF-8; an undecodable byte of a file name becomes \\udcff, as in JSON."""
    return text.encode("utf-8", errors="backslashreplace")


def json_text(data: Any, *, ascii_only: bool = False) -> str:
    """Return data as a strict JSON text: numbers that are not finite become null."""
    finite = mapped(data, lambda each: None if isinstance(each, float) and not math.isfinite(each) else each)
    return json.dumps(finite, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"


def csv_text(rows: Iterable[Iterable[object]], delimiter: str = ",") -> str:
    """Return rows of cells as CSV text, with cells in quotes where necessary; lines end in a newline character."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def output_file(path: Path) -> Path:
    """Return the path to write to for an output path that the user gave: if it is a symbolic link, its target.

    Raises StorageError if it exists and is not a regular file.
    """
    file = Path(os.path.realpath(path))
    with reported("write", path), contextlib.suppress(FileNotFoundError):
        mode = os.lstat(file).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise StorageError(f"cannot write '{safe_text(str(path))}': it is {what}")
    return file


def cache_folder() -> Path:
    """Return the cache folder: `~/.cache/kerascli`, or its equivalent under XDG_CACHE_HOME or on macOS."""
    home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or home) / "kerascli"


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents durably."""
    with reported("create", path):
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir() and not new_folder(folder) and not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def new_folder(path: Path) -> bool:
    """Create a folder durably; return False if its name exists already. Of two that try, one gets True."""
    with reported("create", path):
        try:
            _mkdir(path)
        except FileExistsError:
            return False
        _sync_folder(path.parent)
        return True


def remove_file(path: Path) -> None:
    """Remove a file, or a symbolic link (not its target); a missing file is ignored."""
    with reported("remove", path), contextlib.suppress(FileNotFoundError):
        _unlink(path)


def remove_folder(path: Path) -> None:
    """Remove a folder atomically, by renaming it first. Symbolic links in it are removed, not followed."""
    temporary = temporary_path(path)
    with reported("remove", path):
        _rename(path, temporary)
        _sync_folder(path.parent)
        _rmtree(temporary)


def sweep(folder: Path) -> None:
    """Remove temporary files and folders that a killed process left in `folder`."""
    with reported("clean", folder), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another process may be removing it, too
                if is_left(entry):
                    (_rmtree if entry.is_dir(follow_symlinks=False) else _unlink)(Path(entry.path))


def size_text(count: int) -> str:
    """Return a number of bytes as text with a unit, such as `34 MB`."""
    value, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"


@contextlib.contextmanager
def _opened(path: Path, mode: int) -> Iterator[int]:
    try:
        descriptor = _open(path, mode)
    except FileExistsError:  # a temporary file of a killed process that had our process id
        _unlink(path)
        descriptor = _open(path, mode)
    try:
        yield descriptor
    finally:
        _close(descriptor)


def _write_whole(descriptor: int, data: Piece) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[_write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    if not flags.DIRECTORY:  # Windows opens no folders
        return
    with _opened(folder, os.O_RDONLY | flags.DIRECTORY) as descriptor:
        try:
            _fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that cannot sync folders
                raise


@contextlib.contextmanager
def reported(verb: str, path: Path, needed_bytes: int | None = None) -> Iterator[None]:
    """Context manager that converts an OSError to a StorageError: `cannot {verb} '{path}': ...`."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f"cannot {verb} '{safe_text(str(path))}': {safe_text(reason)}"
        if error.errno in _NO_SPACE:
            text += _space(path, needed_bytes)
        raise StorageError(text) from error


def _space(path: Path, needed_bytes: int | None) -> str:
    needed = "" if needed_bytes is None else f"{size_text(needed_bytes)} needed, "
    with contextlib.suppress(OSError):
        return f" ({needed}{size_text(shutil.disk_usage(path.parent).free)} free)"
    return ""
