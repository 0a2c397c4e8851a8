"""A process of its own that reads one HDF5 file for `hdf5.py`: a crash of the C library harms nobody else.

It is run as a script and imports nothing of kerascli. Requests and answers are frames: eight bytes of length, then
JSON or the bytes of an array. An answer begins with `+`; a refusal is `-` and the reason.
"""

import contextlib
import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

import h5py
import numpy as np

MAX_OBJECTS = 200_000
MAX_DEPTH = 64
MAX_NAME = 1_000
MAX_TEXTS = 200_000
MEMORY_BYTES = 160 * 2**20
"""Beside what this process has at its start, and beside the array that is read."""
MAX_RATIO = 100
"""Between the numbers of an array and the bytes in the file that they are unpacked from."""
CPU_SECONDS = 4
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}


_FORBIDDEN = frozenset({
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen", "pickle.find_class",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen", "os.remove", "os.rename", "shutil.rmtree",
})  # fmt: skip
_OF_PYTHON = tuple(
    {os.path.realpath(path) + os.sep for path in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))}
)


class Refused(Exception):
    """What is wrong with the file, in words."""


def shut(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: this process starts nothing, calls nobody, and opens no file but those of Python itself."""
    if event in _FORBIDDEN:
        raise Refused(f"reading it would do {event}")
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith(_OF_PYTHON):
            raise Refused("reading it would open another file")


class Window(BinaryIO):
    """A stretch of an open file as a file; nothing is opened by name."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size, self._at = descriptor, start, size, 0

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        got = os.preadv(self._descriptor, [view], self._start + self._at)
        self._at += got
        return got

    def read(self, count: int = -1) -> bytes:
        left = self._size - self._at
        data = os.pread(self._descriptor, left if count < 0 else min(count, left), self._start + self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def listing(file: h5py.File) -> dict[str, Any]:
    """Every dataset by path with its shape and dtype. Hard links only; nothing is read."""
    found: dict[str, Any] = {}
    pending: list[tuple[str, Any, int]] = [("", file, 0)]
    seen = 0
    while pending:
        path, group, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise Refused(f"its groups are nested deeper than {MAX_DEPTH} levels")
        for name in group:
            seen += 1
            if seen > MAX_OBJECTS:
                raise Refused(f"it has more than {MAX_OBJECTS:,} objects")
            if len(name) > MAX_NAME:
                raise Refused(f"it has a name of {len(name):,} characters")
            below = f"{path}/{name}" if path else name
            _plain_link(group, name, below)
            item = group[name]
            if isinstance(item, h5py.Group):
                pending.append((below, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                found[below] = _plain_dataset(item, below)
            else:
                raise Refused(f"'{below}' is a named type, not an array")
    return found


def _plain_link(group: Any, name: str, path: str) -> None:
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise Refused(f"'{path}' is a link into another file")
    if not isinstance(link, h5py.HardLink):
        raise Refused(f"'{path}' is a soft link")


def _plain_dataset(dataset: Any, path: str) -> dict[str, Any]:
    settings = dataset.id.get_create_plist()
    if settings.get_external_count():
        raise Refused(f"the numbers of '{path}' lie in another file")
    if dataset.is_virtual:
        raise Refused(f"'{path}' is put together from other datasets")
    kind = dataset.id.get_type().get_class()
    boolean = kind == h5py.h5t.ENUM and dataset.dtype == np.bool_
    if kind not in {h5py.h5t.FLOAT, h5py.h5t.INTEGER} and not boolean:
        raise Refused(f"'{path}' holds no plain numbers ({_kind(kind)})")
    if dataset.dtype.itemsize > 8:
        raise Refused(f"'{path}' holds numbers of {dataset.dtype.itemsize} bytes")
    for index in range(settings.get_nfilters()):
        if settings.get_filter(index)[0] not in _FILTERS:
            raise Refused(f"'{path}' is packed by a filter that is not {', '.join(_FILTERS.values())}")
    if dataset.shape is None:
        raise Refused(f"'{path}' has no shape")
    if dataset.chunks and np.prod(dataset.chunks, dtype=float) > max(2**24, 2.0 * np.prod(dataset.shape, dtype=float)):
        raise Refused(f"'{path}' is packed in blocks larger than itself")
    if _packed_too_much(dataset):
        raise Refused(f"'{path}' is packed more than {MAX_RATIO} to 1")
    return {"shape": list(dataset.shape), "dtype": dataset.dtype.newbyteorder("<").str}


def _packed_too_much(dataset: Any) -> bool:
    return dataset.nbytes > MAX_RATIO * max(dataset.id.get_storage_size(), 2**14)


def _kind(number: int) -> str:
    kinds = {
        h5py.h5t.STRING: "text", h5py.h5t.REFERENCE: "references", h5py.h5t.COMPOUND: "records",
        h5py.h5t.VLEN: "lists", h5py.h5t.ARRAY: "arrays", h5py.h5t.OPAQUE: "bytes", h5py.h5t.ENUM: "words",
    }  # fmt: skip
    return kinds.get(number, "another type")


def attribute(file: h5py.File, path: str, name: str) -> Any:
    """A text, a list of texts, or None where there is none."""
    if path and path not in file:
        return None
    found = h5py.h5a.exists(file[path or "/"].id, name.encode())
    if not found:
        return None
    read = h5py.h5a.open(file[path or "/"].id, name.encode())
    kind, count = read.get_type().get_class(), int(np.prod(read.shape, dtype=object))
    if not count:
        return []
    if kind != h5py.h5t.STRING or len(read.shape) > 1 or count > MAX_TEXTS:
        raise Refused(f"the attribute '{name}' is no text")
    value = file[path or "/"].attrs[name]
    return [_text(item) for item in value] if isinstance(value, np.ndarray) else _text(value)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def array(file: h5py.File, path: str) -> bytes:
    """The numbers of a dataset, row by row, little-endian."""
    dataset: Any = file[path]
    _limit(3 * dataset.nbytes, dataset.nbytes)
    values = np.empty(dataset.shape, dataset.dtype.newbyteorder("<"))
    if not values.ndim:
        values[()] = dataset[()]
    elif values.size:
        dataset.read_direct(values)
    return values.tobytes()


def _address_space() -> int:
    """What this process takes of it now; where the system does not say, more than that."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**31


_AT_START = _address_space()


def _limit(more: int, size: int) -> None:
    """Caps of this process; where the system has none, the parent's still hold."""
    for kind, value in (
        (resource.RLIMIT_AS, _AT_START + MEMORY_BYTES + more),
        (resource.RLIMIT_CPU, CPU_SECONDS + size // 2**20),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def answer(file: h5py.File, request: dict[str, Any]) -> bytes:
    match request:
        case {"do": "list"}:
            return json.dumps(listing(file)).encode()
        case {"do": "attribute", "path": path, "name": name}:
            return json.dumps(attribute(file, path, name)).encode()
        case {"do": "array", "path": path}:
            return array(file, path)
        case _:
            raise Refused("no such request")


def main() -> None:
    descriptor, start, size = map(int, sys.argv[1:4])
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _limit(0, size)
    sys.addaudithook(shut)
    file = None
    while header := source.read(8):
        request = json.loads(source.read(struct.unpack("<q", header)[0]))
        try:
            file = file or h5py.File(Window(descriptor, start, size), "r")
            reply = b"+" + answer(file, request)
        except Refused as error:
            reply = b"-" + str(error).encode("utf-8", "backslashreplace")
        except MemoryError:
            reply = b"-reading it takes more memory than it may"
        except Exception as error:  # the C library reports damage in many ways
            text = str(error).encode("utf-8", "backslashreplace")[:200]
            full = b"memory allocation failed" in text
            reply = b"-reading it takes more memory than it may" if full else b"-it is damaged: " + text
        sink.write(struct.pack("<q", len(reply)) + reply)
        sink.flush()


if __name__ == "__main__":
    main()
