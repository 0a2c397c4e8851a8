"""Memory-mapped arrays, of files and of prepared rows: the kernel reads rows on access and caches them."""

import errno
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import IO

import numpy as np

from kerascli.data.storage.on_disk import Direct, Rows, Values, count, is_large
from kerascli.foundation.disk.files import available_memory, memory_limit
from kerascli.foundation.errors import DataError, StorageError, safe_text

_HINT_BYTES = 128 * 2**10
"""Maximum bytes that Linux reads for one madvise hint, with the default settings of a device."""


class Mapped(Direct):
    """Column of numbers or records in a memory-mapped file."""

    def __init__(self, array: np.ndarray, name: str) -> None:
        """Wrap a memory-mapped array; `name` is the file's name in messages."""
        super().__init__(len(array), array.shape[1:], array.dtype, array.nbytes // max(1, len(array)))
        mapping = mapping_of(array)
        assert mapping is not None
        self._array = array
        self._map = mapping
        self._name = name
        self._file_bytes = self._map.size()
        self._start = array.ctypes.data - np.frombuffer(self._map, np.uint8).ctypes.data
        is_plain = array.flags.c_contiguous and array.nbytes
        self._raw = array.view(np.uint8).reshape(len(array), -1) if is_plain else None
        """Rows as bytes (rows, row bytes): numpy would copy all of an unaligned array to take some of its rows."""
        # A file that fits in memory is soon cached as a whole, so the kernel's readahead at each page fault helps. A
        # larger file would be read many times over. For it, readahead is turned off, and hints announce the rows of a
        # batch, which the kernel then reads at once; a page fault reads one page and waits for it.
        self._hinted = hasattr(mmap, "MADV_RANDOM") and len(self._map) > available_memory() // 2
        if self._hinted:
            self._map.madvise(mmap.MADV_RANDOM)

    def _read(self, rows: Rows) -> np.ndarray:
        # Access beyond the end of a mapped file would kill the process with SIGBUS.
        if self._map.size() < self._file_bytes:
            raise DataError("the file was shortened while it was in use", place=self._name)
        if self._hinted:
            self._hint(rows)
        if isinstance(rows, slice):
            return np.array(self._array[rows], order="C")
        if self._raw is None:
            return np.ascontiguousarray(self._array[rows])
        return self._raw.take(rows, axis=0, mode="clip").view(self.dtype).reshape(len(rows), *self.row_shape)

    def _hint(self, rows: Rows) -> None:
        """Announce to the kernel (madvise) which rows of the file are read next, in the order of the file."""
        stride = self._array.strides[0]
        spans = [(rows.start, count(rows))] if isinstance(rows, slice) else [(row, 1) for row in np.sort(rows).tolist()]
        for first, number in spans:
            start, end = self._start + first * stride, self._start + (first + number) * stride
            for place in range(start - start % mmap.PAGESIZE, end, _HINT_BYTES):
                self._map.madvise(mmap.MADV_WILLNEED, place, min(_HINT_BYTES, end - place))


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """Return the memory-mapped file that holds an array's values, or None if there is no such file."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap):
        return None
    try:
        base.size()
    except OSError:  # anonymous shared memory, without a file
        return None
    return base


def keep_large_on_disk(columns: Mapping[str, np.ndarray], name: str) -> dict[str, Values]:
    """Return columns of a file, with large memory-mapped ones left on disk and the others read into memory.

    Raises DataError.
    """
    mapped = {key for key, values in columns.items() if mapping_of(values) is not None}
    large = is_large(sum(columns[key].nbytes for key in mapped))
    kept: dict[str, Values] = {}
    for key, values in columns.items():
        if key not in mapped:
            kept[key] = values
        elif large and not _is_scattered(values):
            kept[key] = Mapped(values, name)
        else:
            _refuse_too_large(values, key, name)
            kept[key] = np.array(values, order="C")
    return kept


def _is_scattered(values: np.ndarray) -> bool:
    """Return True if an array's rows are not contiguous (Fortran order), so that a batch is scattered over the file."""
    inner = [stride for stride, size in zip(values.strides[1:], values.shape[1:], strict=True) if size > 1]
    return bool(inner) and max(inner) > abs(values.strides[0])


def _refuse_too_large(values: np.ndarray, key: str, name: str) -> None:
    if values.nbytes > memory_limit():
        text = f"'{safe_text(key)}' is in Fortran order (column-major) and takes {values.nbytes:,} bytes"
        text += f"; the limit for such arrays is {memory_limit():,}, since they are read into memory"
        hint = "save it in row-major order, with numpy.ascontiguousarray: it is then read in pieces"
        raise DataError(text, place=name, hint=hint)


def unnamed_file(folder: str) -> IO[bytes]:
    """Return a new open temporary file in a folder, that no other process can open."""
    return tempfile.TemporaryFile(dir=folder, buffering=0)


def spill(
    parts: Iterator[np.ndarray], rows: int, temporary: Callable[[str], AbstractContextManager[IO[bytes]]] = unnamed_file
) -> np.ndarray:
    """Write arrays with `rows` rows in all to a temporary file, and return it as one memory-mapped array.

    The file is unlinked, so that its space is freed even if the process is killed. `temporary` opens it in a folder;
    where the file can only be read, another process has written the arrays to it when they end. Raises StorageError if
    there is not enough space.
    """
    folder = _folder()
    first = next(parts)
    try:
        _refuse_full(folder, needed=rows * first.nbytes // len(first))
        with temporary(folder) as file:
            for part in chain([first], parts):
                assert part.dtype == first.dtype, "the bytes would be read as something else"
                if file.writable():
                    _write(file, part)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StorageError(f"no room is left in '{safe_text(folder)}' for prepared rows", hint=_HINT) from None
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"cannot keep prepared rows in '{safe_text(folder)}': {reason}") from None
    return np.ndarray((rows, *first.shape[1:]), first.dtype, mapped)


def _folder() -> str:
    """Return the folder for temporary files: TMPDIR, else /var/tmp (on disk; /tmp is in memory on many systems)."""
    folders = (os.environ.get("TMPDIR"), "/var/tmp")
    return next((each for each in folders if each and os.access(each, os.W_OK)), tempfile.gettempdir())


def _write(file: IO[bytes], part: np.ndarray) -> None:
    """Write an array to an open file by system calls; with a memory mapping, a full disk would kill the process."""
    data = np.ascontiguousarray(part).view(np.uint8).reshape(-1).data
    while data:
        data = data[file.write(data) :]


def _refuse_full(folder: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        text = f"{needed / 1e9:.1f} GB of prepared rows do not fit into '{safe_text(folder)}'"
        raise StorageError(f"{text}, which has {free / 1e9:.1f} GB left", hint=_HINT)


_HINT = "set TMPDIR to a folder with more room"
