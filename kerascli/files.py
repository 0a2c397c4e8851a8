"""The one door for files from outside: regular files only, under caps that hold before memory is taken.

Nothing that is read is executed or unpickled (published weights are, as tensors alone: `interop/published.py`). Sizes
come from headers and are compared with what is there.
"""

import errno
import hashlib
import io
import json
import math
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from kerascli.errors import DataError, DataMissing, FileRefused, StorageError, nearest, safe_text

MAX_JSON_BYTES = 256 * 2**20
MAX_JSON_DEPTH = 64
MAX_MEMBERS = 10_000
MAX_RATIO = 200
"""Between the bytes that a file unpacks to and its own; measured data reaches some tens."""
UNPACKED_FREELY = 256 * 2**20
"""So many bytes may be packed as tightly as they can be."""
_MAX_HEADER = 2**16

SAMPLED_BYTES = 2**30
"""A larger file is known by a sample of its bytes: to read it whole would take longer than many a training."""
_SAMPLES, _SAMPLE_BYTES = 1024, 2**16

_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")
_MEMORY_INFO = Path("/proc/meminfo")

DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError,
    OverflowError,
)  # fmt: skip
"""What zipfile, zlib and numpy raise at damaged archives, found by changing bytes at random."""


def open_regular(path: Path, shown: str | None = None) -> BufferedReader:
    """Open a regular file for reading; never waits, whatever it is. Raises DataError."""
    name = str(path) if shown is None else shown
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing_file(path, name) from None
    except OSError as error:
        raise DataError(f"cannot read '{safe_text(name)}': {_reason(error)}") from None
    except ValueError:
        raise DataError(f"cannot read '{safe_text(name)}': {impossible_path(path)}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise DataError(f"'{safe_text(name)}' is {_kind(mode)}, not a file")
    return os.fdopen(descriptor, "rb")


def impossible_path(path: str | Path) -> str | None:
    """Return why no file can have a path (a zero byte in it, a name that is too long), or None where one can."""
    try:
        os.stat(path)
    except OSError as error:
        return _reason(error) if error.errno in {errno.ENAMETOOLONG, errno.ELOOP} else None
    except ValueError:  # UnicodeEncodeError is one, too
        return "a zero byte, or half a character"
    return None


def read_bytes(path: Path, limit: int, shown: str | None = None) -> bytes:
    """A whole file of at most `limit` bytes. Raises DataError, StorageError."""
    with open_regular(path, shown) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DataError(f"'{safe_text(shown or str(path))}' has {size:,} bytes; the limit here is {limit:,}")
        try:
            return file.read(size + 1)  # with a larger number, memory would be taken for that
        except OSError as error:
            raise StorageError(f"cannot read '{safe_text(shown or str(path))}': {_reason(error)}") from None


def memory_limit() -> int:
    """How many bytes the arrays of one file may take: half of the machine's memory, or of the container's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = _CONTAINER_MEMORY.read_text().strip()
    except OSError:
        return machine // 2
    return min(machine, int(allowed) if allowed.isdecimal() else machine) // 2  # 'max' where there is no limit


def refuse_bomb(unpacked: int, packed: int, name: str, hint: str) -> None:
    """Refuse a file that would unpack to far more than it is. Raises FileRefused; `hint` says how else to store it."""
    if unpacked > UNPACKED_FREELY and unpacked > MAX_RATIO * packed:
        text = f"'{safe_text(name)}' has {packed:,} bytes and unpacks to {unpacked:,}; the limit is {MAX_RATIO} to 1"
        raise FileRefused(text, hint=hint)


def available_memory() -> int:
    """How many bytes can be taken now without anything being swapped out; half of all where the system does not say."""
    try:
        said = dict(line.split(":") for line in _MEMORY_INFO.read_text().splitlines())
        return min(int(said["MemAvailable"].split()[0]) * 1024, 2 * memory_limit())
    except (OSError, KeyError):
        return memory_limit()


_digests: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, or `sampled:` and that of a sample; computed once per process. Raises DataError.

    The sample is the size, the end, and 1,024 blocks from the first byte on. At their ends npz files keep checksums of
    all their arrays and parquet files the statistics of their columns, so that a file written anew differs there.
    """
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        key = (str(path), status.st_size, status.st_mtime_ns)
        if key not in _digests:
            sampled = status.st_size > SAMPLED_BYTES
            _digests[key] = (
                _sample(file, status.st_size) if sampled else hashlib.file_digest(file, "sha256").hexdigest()
            )
    return _digests[key]


def _sample(file: BufferedReader, size: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    for start in sample_starts(size, _SAMPLE_BYTES):
        file.seek(start)
        digest.update(file.read(_SAMPLE_BYTES))
    return f"sampled:{digest.hexdigest()}"


def sample_starts(size: int, block: int) -> Iterator[int]:
    """Where the blocks of a sample begin: 1,024 at even distances and one at the end."""
    return (number * (size - block) // _SAMPLES for number in range(_SAMPLES + 1))


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


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What an npy stream says of itself, and where its data begins."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def load_npz(
    source: IO[bytes], name: str, limit: int | None = None, *, without: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of an npz file. Raises FileRefused before anything larger than `limit` bytes is allocated."""
    allowed = memory_limit() if limit is None else limit
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if array_name(member) not in without]
            total = sum(member.file_size for member in members)
            refuse_bomb(total, sum(member.compress_size for member in members), name, _UNPACKED_NPZ)
            if total > allowed:
                text = f"'{name}' unpacks to {total:,} bytes; the limit here is {allowed:,}"
                raise FileRefused(text, hint=_UNPACKED_NPZ)
            return {key: _read_member(archive, key) for key in npz_headers(source, name) if key not in without}
    except DAMAGED as error:
        raise FileRefused(f"'{name}' is not a sound npz file: {safe_text(str(error), 120)}") from None


_UNPACKED_NPZ = "numbers that numpy.savez wrote, uncompressed, are read in pieces, whatever their size"


def array_name(member: zipfile.ZipInfo) -> str:
    """What numpy calls an array of an npz file."""
    return member.filename.removesuffix(".npy")


def npz_headers(source: IO[bytes], name: str) -> dict[str, NpyHeader]:
    """What the arrays of an npz file say of themselves, without reading them. Raises FileRefused."""
    headers: dict[str, NpyHeader] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise FileRefused(f"'{name}' has {len(members):,} members; the limit here is {MAX_MEMBERS:,}")
            for member in members:
                key = array_name(member)
                if key in headers:
                    raise FileRefused(f"'{name}' has the array '{safe_text(key)}' twice")
                with archive.open(member) as file:
                    headers[key] = npy_header(file, key, name, member.file_size)
    except DAMAGED as error:
        raise FileRefused(f"'{name}' is not a sound npz file: {safe_text(str(error), 120)}") from None
    return headers


def npy_header(file: IO[bytes], key: str, name: str, size: int) -> NpyHeader:
    """The header of an npy stream of `size` bytes; leaves the stream after it. Raises FileRefused."""
    where = f"'{safe_text(key)}' in '{name}'" if key else f"'{name}'"
    try:
        header = _header(file)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise FileRefused(f"{where} is not an npy array: {safe_text(str(error), 120)}") from None
    if header.dtype.hasobject:
        raise FileRefused(f"{where} holds Python objects; pickled arrays are never loaded")
    shape, found = header.shape, size - header.start
    if min(shape, default=0) < 0:
        raise FileRefused(f"{where} is not an npy array: a negative size in the shape {shape}")
    if header.nbytes > found:
        raise FileRefused(f"{where} says {header.nbytes:,} bytes of data (shape {shape}) and has {found:,}")
    return header


def _header(file: IO[bytes]) -> NpyHeader:
    """The header under a cap of its own: numpy reads as much as it says that it is, up to 4 GiB, before it looks."""
    is_short = npy_format.read_magic(file) == (1, 0)  # type: ignore[arg-type]
    said = file.read(2 if is_short else 4)
    length = int.from_bytes(said, "little")
    if length > _MAX_HEADER:
        raise ValueError(f"a header of {length:,} bytes; the limit is {_MAX_HEADER:,}")
    read = npy_format.read_array_header_1_0 if is_short else npy_format.read_array_header_2_0
    return NpyHeader(*read(io.BytesIO(said + file.read(length))), start=npy_format.MAGIC_LEN + len(said) + length)


def _read_member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    member = f"{key}.npy" if f"{key}.npy" in archive.NameToInfo else key
    with archive.open(member) as file:
        array = npy_format.read_array(file, allow_pickle=False)  # type: ignore[arg-type]
        file.read()  # to the end: the checksum is compared there
    return array


def missing_file(path: Path, name: str) -> DataMissing:
    """Return the error of a file that does not exist, with the name of one in its folder that is nearly the same."""
    folder = path.parent
    close = nearest(path.name, [entry.name for entry in folder.iterdir()][:1000]) if folder.is_dir() else None
    known = f"; did you mean '{folder / close if str(folder) != '.' else close}'?" if close else ""
    hint = None if folder.is_dir() else f"the folder '{safe_text(str(folder))}' does not exist"
    return DataMissing(f"no such file '{safe_text(name)}'{safe_text(known)}", hint=hint)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _kind(mode: int) -> str:
    kinds: Mapping[str, bool] = {
        "a folder": stat.S_ISDIR(mode), "a named pipe": stat.S_ISFIFO(mode), "a socket": stat.S_ISSOCK(mode),
        "a device": stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }  # fmt: skip
    return next((name for name, fits in kinds.items() if fits), "something else")


def _depth(data: bytes) -> int:
    """How deep brackets nest, counted without recursion; brackets in texts count too, which only errs to be safe."""
    deepest = depth = 0
    for start in range(0, len(data), 2**20):  # the counts take many times the bytes
        codes = np.frombuffer(data, np.uint8, min(2**20, len(data) - start), start)
        steps = np.isin(codes, (0x5B, 0x7B)).astype(np.int32) - np.isin(codes, (0x5D, 0x7D))
        depths = np.cumsum(steps)
        deepest = max(deepest, depth + int(depths.max(initial=0)))
        depth += int(depths[-1])
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number in JSON")
