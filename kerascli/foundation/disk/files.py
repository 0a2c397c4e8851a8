"""Reading of untrusted files: regular files only, with size limits that are checked before memory is allocated.

All reads of files from outside go through this module. Nothing is executed or unpickled (but published weights, as
tensors alone: `interop/published.py`). Sizes declared in headers are compared with the sizes of the files.
"""

import errno
import hashlib
import json
import os
import re
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from typing import Any

from kerascli.foundation.disk import flags
from kerascli.foundation.errors import DataError, DataMissing, FileRefused, StorageError, nearest, safe_text

MAX_JSON_BYTES = 256 * 2**20
MAX_JSON_DEPTH = 64
MAX_MEMBERS = 10_000
MAX_RATIO = 200
"""Maximum ratio of a compressed file's unpacked size to its own size; real data reaches a few tens."""
UNPACKED_FREELY = 256 * 2**20
"""Unpacked size in bytes of a compressed file up to which any compression ratio is accepted."""
OBJECT_BYTES = 64
"""Memory overhead of a Python string beyond its characters, in bytes."""
LINE_BYTES = 2 * OBJECT_BYTES
"""Memory overhead of a line of text and its number as Python objects, in bytes."""
JSON_MARKS = {"\n": 64, "{": 232, "[": 80, ":": 64, ",": 40}
"""Memory in bytes of what each of these characters begins in JSON text: a line, an object, a list, a value, an item."""
_DEPTHS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
"""Change of the depth at each bracket in JSON text; those in strings count, too, so that the depth may be too high."""

SAMPLED_BYTES = 2**30
"""Size in bytes above which a file's digest is of a sample of it: reading all could take longer than training."""
_SAMPLES, _SAMPLE_BYTES = 1024, 2**16

_ESCAPED = {"\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r", "\x1b": r"\e"}
"""Mapping from control character to its escape sequence in a string in double quotes."""

_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")
_MEMORY_INFO = Path("/proc/meminfo")
_UNKNOWN_MEMORY = 8 * 2**30

DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError,
    OverflowError,
)  # fmt: skip
"""Exceptions that zipfile, zlib and numpy raise for damaged archives; found by changing bytes of archives at random."""


class NotRegular(Exception):
    """Error about a path that does not lead to a regular file; its text says what is there instead ("a folder")."""

    def __init__(self, mode: int) -> None:
        super().__init__(_kind(mode))
        self.is_folder = stat.S_ISDIR(mode)


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading, without waiting even for a pipe. Raises OSError, ValueError and NotRegular."""
    descriptor = os.open(path, os.O_RDONLY | flags.NONBLOCK | flags.ALWAYS)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise NotRegular(mode)
    return os.fdopen(descriptor, "rb")


def open_regular(path: Path, shown: str | None = None) -> BufferedReader:
    """Open a regular data file for reading; `shown` is its name in messages.

    Raises DataError, also if it is not a regular file.
    """
    name = str(path) if shown is None else shown
    try:
        return open_file(path)
    except FileNotFoundError:
        raise missing_file(path, name) from None
    except OSError as error:
        raise DataError(f"cannot read '{safe_text(name)}': {_reason(error)}") from None
    except ValueError:
        raise DataError(f"cannot read '{safe_text(name)}': {impossible_path(path)}") from None
    except NotRegular as error:
        raise DataError(f"'{safe_text(name)}' is {error}, not a file") from None


def with_tilde(path: str) -> str:
    """Return a path, or the address of a file of SQLite, with `~` in place of a leading `$HOME` or `${HOME}`, if it has
    one."""
    return re.sub(r"\A(sqlite:///)?(\$HOME|\$\{HOME\})(?=/|\Z)", r"\1~", path)


def in_home(path: str) -> str:
    """Return a path with the user's home folder in place of a leading `~`; others are unchanged."""
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path


def impossible_path(path: str | Path) -> str | None:
    """Return the reason why no file can have this path (a zero byte, a name that is too long), or None if one can."""
    if escaped := next((mark for mark in _ESCAPED if mark in str(path)), None):
        meant = posix_path("".join(_ESCAPED.get(character, character) for character in str(path)))
        return f"'{_ESCAPED[escaped]}' in double quotes is a control character; a path is written with '/': {meant}"
    try:
        os.stat(path)
    except OSError as error:
        return _reason(error) if error.errno in {errno.ENAMETOOLONG, errno.ELOOP} else None
    except ValueError:  # UnicodeEncodeError is one, too
        return "a zero byte, or half a character"
    return None


def read_bytes(path: Path, limit: int, shown: str | None = None) -> bytes:
    """Return the contents of a data file of at most `limit` bytes. Raises DataError and StorageError."""
    with open_regular(path, shown) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DataError(f"'{safe_text(shown or str(path))}' has {size:,} bytes; the limit here is {limit:,}")
        try:
            return file.read(size + 1)  # read() allocates as much memory as it is asked for
        except OSError as error:
            raise StorageError(f"cannot read '{safe_text(shown or str(path))}': {_reason(error)}") from None


def memory_limit() -> int:
    """Return the maximum size in bytes of one file's arrays: half of the memory of the machine or its container."""
    has_sysconf = hasattr(os, "sysconf")
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if has_sysconf else _UNKNOWN_MEMORY
    with suppress(OSError, ValueError):  # 'max' where there is no limit
        machine = min(machine, int(_CONTAINER_MEMORY.read_text(encoding="ascii")))
    return machine // 2


def refuse_bomb(unpacked: int, packed: int, name: str, hint: str, what: str = "unpacks to") -> None:
    """Raise FileRefused if a compressed file unpacks to far more than its size (a zip bomb).

    `hint` says how else to store the data.
    """
    if unpacked > UNPACKED_FREELY and unpacked > MAX_RATIO * packed:
        text = f"'{safe_text(name)}' has {packed:,} bytes and {what} {unpacked:,}; the limit is {MAX_RATIO} to 1"
        raise FileRefused(text, hint=hint)


def refuse_table(nbytes: int, packed: int, name: str) -> None:
    """Raise FileRefused if the table in a text file of `packed` bytes takes too much memory, estimated as `nbytes`."""
    refuse_bomb(nbytes, packed, name, "write it uncompressed, or as Parquet", "its table takes about")
    if nbytes > memory_limit():
        text = f"the table in '{safe_text(name)}' takes about {nbytes:,} bytes; the limit here is {memory_limit():,}"
        raise FileRefused(text, hint="write it as Parquet, which is read in pieces")


def refuse_text(text: bytes | str, marks: Mapping[str, int], packed: int, name: str) -> None:
    """Raise FileRefused if the table in a text is estimated to take too much memory, before it is parsed.

    `marks` maps characters, such as the delimiter, to the bytes that parsing needs for each; `packed` is the size of
    the text's file.
    """
    if len(text) * max(marks.values()) > min(memory_limit(), max(UNPACKED_FREELY, MAX_RATIO * packed)):
        counts = {mark: text.count(mark) if isinstance(text, str) else count_byte(text, ord(mark)) for mark in marks}
        refuse_table(sys.getsizeof(text) + sum(marks[mark] * counts[mark] for mark in marks), packed, name)


def count_byte(data: bytes | memoryview, byte: int) -> int:
    """Return how often a byte occurs, several times as fast as `bytes.count`."""
    import numpy as np

    parts = (np.frombuffer(data, np.uint8, min(2**18, len(data) - at), at) for at in range(0, len(data), 2**18))
    return sum(int(np.count_nonzero(part == byte)) for part in parts)


def available_memory() -> int:
    """Return the number of bytes that can be allocated without swapping.

    It is half of all memory if the system does not report it.
    """
    try:
        fields = dict(line.split(":") for line in _MEMORY_INFO.read_text(encoding="ascii").splitlines())
        return min(int(fields["MemAvailable"].split()[0]) * 1024, 2 * memory_limit())
    except (OSError, KeyError):
        return memory_limit()


_digests: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or for a large one `sampled:` and the SHA-256 of a sample. Raises DataError.

    It is computed once per process. The sample is the size, the end, and 1,024 blocks from the first byte on. At their
    ends npz files keep checksums of all arrays and parquet files the statistics of columns: a rewritten file differs.
    """
    with open_regular(path) as file:
        key = _, size, _ = _digest_key(path, file)
        if key not in _digests:
            _digests[key] = _digest(file, size)
    return _digests[key]


def digests_by_name(paths: Sequence[Path]) -> dict[str, str]:
    """Return the digest of each file by its name, with the name of its folder where two files have the same."""
    names = [path.name for path in paths]
    folders = ["" if names.count(path.name) == 1 else f"{path.parent.resolve().name}/" for path in paths]
    return {folder + path.name: file_digest(path) for folder, path in zip(folders, paths, strict=True)}


def read_digested(path: Path, shown: str) -> bytes:
    """Return the contents of a file, and store their digest for later calls of `file_digest`. Raises DataError."""
    with open_regular(path, shown) as file:
        data = file.read()
        _digests[_digest_key(path, file)] = hashlib.sha256(data).hexdigest()
    return data


def _digest_key(path: Path, file: BufferedReader) -> tuple[str, int, int]:
    status = os.fstat(file.fileno())
    return str(path), status.st_size, status.st_mtime_ns


def _digest(file: BufferedReader, size: int) -> str:
    if size <= SAMPLED_BYTES:
        return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256(str(size).encode())
    for start in sample_starts(size, _SAMPLE_BYTES):
        file.seek(start)
        digest.update(file.read(_SAMPLE_BYTES))
    return f"sampled:{digest.hexdigest()}"


def sample_starts(size: int, block: int) -> Iterator[int]:
    """Return the offsets of the blocks in a file's sampled digest: 1,024 at even distances, and one at the end."""
    return (number * (size - block) // _SAMPLES for number in range(_SAMPLES + 1))


def load_json(data: bytes, name: str) -> Any:
    """Parse JSON text of limited size and depth, and return its contents; `name` is the file's name in messages.

    Raises FileRefused, also for duplicate keys and NaN.
    """
    if len(data) > MAX_JSON_BYTES:
        raise FileRefused(f"'{name}' has {len(data):,} bytes; the limit here is {MAX_JSON_BYTES:,}")
    refuse_text(data, JSON_MARKS, len(data), name)
    brackets = data.translate(None, bytes(set(range(256)) - _DEPTHS.keys()))
    if max(accumulate(map(_DEPTHS.__getitem__, brackets), initial=0)) > MAX_JSON_DEPTH:
        raise FileRefused(f"'{name}' is nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        return json.loads(data, object_pairs_hook=unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FileRefused(f"'{name}' is not valid JSON: {safe_text(str(error), 120)}") from None


def is_windows_path(text: str) -> bool:
    """Return True for a path whose folders are separated by backslashes."""
    return re.fullmatch(r"([A-Za-z]:)?[^/:]*\\[^/:]*", text) is not None


def posix_path(text: str) -> str:
    """Return a Windows path as a Linux path; `C:` becomes the folder where WSL mounts the drive, `/mnt/c`."""
    drive = re.match(r"([A-Za-z]):", text)
    path = re.sub(r"\\+", "/", text[2:] if drive else text)
    return f"/mnt/{drive[1].lower()}{path}" if drive else path


def missing_file(path: Path, name: str) -> DataMissing:
    """Return the error for a data file that does not exist; it suggests a file with a similar name in the folder."""
    folder, close = path.parent, None
    with suppress(OSError):  # there is no such folder, or its files may not be listed
        close = nearest(path.name, [entry.name for entry in folder.iterdir()][:1000])
    suggested = f"; did you mean '{folder / close}'?" if close else ""
    if is_windows_path(name):
        return DataMissing(f"no such file '{safe_text(name)}'", hint=f"a path is written with '/': {posix_path(name)}")
    hint = None if folder.is_dir() else f"the folder '{safe_text(str(folder))}' does not exist"
    return DataMissing(f"no such file '{safe_text(name)}'{safe_text(suggested)}", hint=hint)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _kind(mode: int) -> str:
    kinds = {"d": "a folder", "p": "a named pipe", "s": "a socket", "c": "a device", "b": "a device"}
    return kinds.get(stat.filemode(mode)[0], "something else")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON as a dict, as `object_pairs_hook` of `json.loads`. Raises ValueError for a key twice."""
    if len(entries := dict(pairs)) < len(pairs):
        raise ValueError("a key appears twice")
    return entries


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number in JSON")
