"""The one door for files from outside: regular files only, under caps that hold before memory is taken.

Nothing that is read is executed or unpickled. Sizes come from headers and are compared with what is there.
"""

import hashlib
import json
import math
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from kerascli.errors import DataError, FileRefused, nearest, safe_text

MAX_JSON_BYTES = 256 * 2**20
MAX_JSON_DEPTH = 64
MAX_MEMBERS = 10_000

_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")

# What zipfile, zlib and numpy raise at damaged archives, found by changing bytes at random.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError,
    OverflowError,
)  # fmt: skip


def open_regular(path: Path, shown: str | None = None) -> BufferedReader:
    """Open a regular file for reading; never waits, whatever it is. Raises DataError."""
    name = str(path) if shown is None else shown
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _missing(path, name) from None
    except OSError as error:
        raise DataError(f"cannot read '{safe_text(name)}': {_reason(error)}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise DataError(f"'{safe_text(name)}' is {_kind(mode)}, not a file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, limit: int, shown: str | None = None) -> bytes:
    """A whole file of at most `limit` bytes. Raises DataError."""
    with open_regular(path, shown) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DataError(f"'{safe_text(shown or str(path))}' has {size:,} bytes; the limit here is {limit:,}")
        return file.read(limit + 1)


def memory_limit() -> int:
    """How many bytes the arrays of one file may take: half of the machine's memory, or of the container's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = _CONTAINER_MEMORY.read_text().strip()
    except OSError:
        return machine // 2
    return min(machine, int(allowed) if allowed.isdecimal() else machine) // 2  # 'max' where there is no limit


_digests: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, computed once per process as long as it does not change. Raises DataError."""
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        key = (str(path), status.st_size, status.st_mtime_ns)
        if key not in _digests:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]


def load_json(data: bytes, name: str) -> Any:
    """JSON under caps; equal keys, NaN and deep nesting are refused. Raises FileRefused."""
    if len(data) > MAX_JSON_BYTES:
        raise FileRefused(f"'{name}' has {len(data):,} bytes; the limit here is {MAX_JSON_BYTES:,}")
    if _depth(data) > MAX_JSON_DEPTH:
        raise FileRefused(f"'{name}' is nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FileRefused(f"'{name}' is not valid JSON: {safe_text(str(error), 120)}") from None


def load_npz(source: IO[bytes], name: str, limit: int | None = None) -> dict[str, np.ndarray]:
    """All arrays of an npz file. Raises FileRefused before anything larger than `limit` bytes is allocated."""
    allowed = memory_limit() if limit is None else limit
    try:
        with zipfile.ZipFile(source) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > allowed:
                raise FileRefused(f"'{name}' unpacks to {total:,} bytes; the limit here is {allowed:,}")
            return {key: _read_member(archive, key) for key in npz_headers(source, name)}
    except _DAMAGED as error:
        raise FileRefused(f"'{name}' is not a sound npz file: {safe_text(str(error), 120)}") from None


def npz_headers(source: IO[bytes], name: str) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of every array of an npz file, without reading the arrays. Raises FileRefused."""
    headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise FileRefused(f"'{name}' has {len(members):,} members; the limit here is {MAX_MEMBERS:,}")
            for member in members:
                key = member.filename.removesuffix(".npy")
                if key in headers:
                    raise FileRefused(f"'{name}' has the array '{safe_text(key)}' twice")
                with archive.open(member) as file:
                    headers[key] = npy_header(file, key, name, member.file_size)
    except _DAMAGED as error:
        raise FileRefused(f"'{name}' is not a sound npz file: {safe_text(str(error), 120)}") from None
    return headers


def npy_header(file: IO[bytes], key: str, name: str, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an npy stream of `size` bytes; leaves the stream after the header. Raises FileRefused."""
    where = f"'{safe_text(key)}' in '{name}'" if key else f"'{name}'"
    try:
        version = npy_format.read_magic(file)  # type: ignore[arg-type]
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = read(file)  # type: ignore[arg-type]
    except (ValueError, SyntaxError, TypeError) as error:
        raise FileRefused(f"{where} is not an npy array: {safe_text(str(error), 120)}") from None
    if dtype.hasobject:
        raise FileRefused(f"{where} holds Python objects; pickled arrays are never loaded")
    expected, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0:
        raise FileRefused(f"{where} is not an npy array: a negative size in the shape {shape}")
    if expected > found:
        raise FileRefused(f"{where} says {expected:,} bytes of data (shape {shape}) and has {found:,}")
    return shape, dtype


def _read_member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    member = f"{key}.npy" if f"{key}.npy" in archive.NameToInfo else key
    with archive.open(member) as file:
        array = npy_format.read_array(file, allow_pickle=False)  # type: ignore[arg-type]
        file.read()  # to the end: the checksum is compared there
    return array


def _missing(path: Path, name: str) -> DataError:
    folder = path.parent
    close = None
    if folder.is_dir():
        close = nearest(path.name, [entry.name for entry in folder.iterdir()][:1000])
    known = f"; did you mean '{folder / close if str(folder) != '.' else close}'?" if close else ""
    hint = None if folder.is_dir() else f"the folder '{safe_text(str(folder))}' does not exist"
    return DataError(f"no such file '{safe_text(name)}'{safe_text(known)}", hint=hint)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _kind(mode: int) -> str:
    kinds: Mapping[str, bool] = {
        "a folder": stat.S_ISDIR(mode),
        "a named pipe": stat.S_ISFIFO(mode),
        "a socket": stat.S_ISSOCK(mode),
        "a device": stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    return next((name for name, fits in kinds.items() if fits), "something else")


def _depth(data: bytes) -> int:
    """How deep brackets nest, counted without recursion; brackets in texts count too, which only errs to be safe."""
    codes = np.frombuffer(data, np.uint8)
    steps = np.isin(codes, (0x5B, 0x7B)).astype(np.int32) - np.isin(codes, (0x5D, 0x7D))
    return int(np.cumsum(steps).max(initial=0))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number in JSON")
