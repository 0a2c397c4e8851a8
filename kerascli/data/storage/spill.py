"""Store prepared rows in a memory-mapped temporary file, for data that can only be read in order."""

import errno
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from kerascli.foundation.errors import StorageError, safe_text


def spill(chunks: Iterator[np.ndarray], rows: int) -> np.ndarray:
    """Write arrays with `rows` rows in all to a temporary file, and return it as one memory-mapped array.

    The file is unlinked, so that its space is freed even if the process is killed. Raises StorageError if there is not
    enough space.
    """
    folder = _folder()
    first = next(chunks)
    _refuse_full(folder, needed=rows * first.nbytes // len(first))
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            _write(file, first)
            for chunk in chunks:
                assert chunk.dtype == first.dtype, "the bytes would be read as something else"
                _write(file, chunk)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _failed(folder, error) from None
    return np.ndarray((rows, *first.shape[1:]), first.dtype, mapped)


def _folder() -> str:
    """Return the folder for temporary files: TMPDIR, else /var/tmp (on disk; /tmp is in memory on many systems)."""
    return next(
        (folder for folder in (os.environ.get("TMPDIR"), "/var/tmp") if folder and os.access(folder, os.W_OK)),
        tempfile.gettempdir(),
    )


def _write(file: IO[bytes], chunk: np.ndarray) -> None:
    """Write an array to an open file by system calls; with a memory mapping, a full disk would kill the process."""
    data = np.ascontiguousarray(chunk).view(np.uint8).reshape(-1).data
    while data:
        data = data[file.write(data) :]


def _refuse_full(folder: str, needed: int) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _failed(folder, error) from None
    if needed > free:
        text = (
            f"{needed / 1e9:.1f} GB of prepared rows do not fit into '{safe_text(folder)}', which has {free / 1e9:.1f}"
        )
        raise StorageError(f"{text} GB left", hint=_HINT)


def _failed(folder: str, error: OSError) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StorageError(f"no room is left in '{safe_text(folder)}' for prepared rows", hint=_HINT)
    reason = (error.strerror or str(error)).lower()
    return StorageError(f"cannot keep prepared rows in '{safe_text(folder)}': {reason}")


_HINT = "set TMPDIR to a folder with more room"
