"""Script that reads one HDF5 file for `hdf5.py` in a separate process, so that a crash of the C library stays there.

It imports nothing of kerascli. Requests and answers are frames: eight bytes of length, then JSON or the bytes of an
array. An answer begins with `+`; a refusal is `-` and the reason.
"""

import contextlib
import io
import json
import math
import mmap
import os
import struct
import sys
from typing import Any

import h5py
import numpy as np

h5: Any = h5py
"""h5py's low-level API, which h5py does not list as public; h5py's high-level objects take three times as long."""

MAX_OBJECTS = 200_000
MAX_DEPTH = 64
MAX_NAME = 1_000
MAX_TEXTS = 200_000
MEMORY_BYTES = 160 * 2**20
"""Memory limit of this process in bytes, beyond the memory that it has at the start and the memory for the array being
read."""
MAX_RATIO = 100
"""Largest compression ratio of an array in an HDF5 file that is read."""
CPU_SECONDS = 4
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}

_FORBIDDEN = frozenset({
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen", "pickle.find_class",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen", "os.remove", "os.rename", "shutil.rmtree",
})  # fmt: skip
_OF_PYTHON = tuple({os.path.realpath(p) + os.sep for p in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))})


class Refused(Exception):
    """Exception: the HDF5 file is refused, for the reason in its text."""


def audit_hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook that forbids subprocesses, network access, and opening files other than Python's own."""
    if event in _FORBIDDEN:
        raise Refused(f"reading it would do {event}")
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith(_OF_PYTHON):
            raise Refused("reading it would open another file")


class Window(io.RawIOBase):
    """File object over a byte range of a file that is already open, so that h5py opens no file by name."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size, self._at = descriptor, start, size, 0

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        got = os.preadv(self._descriptor, [view], self._start + self._at)
        self._at += got
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at


def listing(file: h5py.File) -> dict[str, Any]:
    """Return shape and dtype of every HDF5 dataset by path, without values. Raises Refused for soft or external
    links."""
    headers: dict[str, Any] = {}
    pending: list[tuple[str, int]] = [("", 0)]  # paths, because open groups take memory
    seen = 0
    while pending:
        path, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise Refused(f"its groups are nested deeper than {MAX_DEPTH} levels")
        group: Any = h5.h5g.open(file.id, _raw(path) or b"/")
        for raw in group:
            seen += 1
            if seen > MAX_OBJECTS:
                raise Refused(f"it has more than {MAX_OBJECTS:,} objects")
            if len(raw) > MAX_NAME:
                raise Refused(f"it has a name of {len(raw):,} characters")
            name = raw.decode("utf-8", "surrogateescape")
            below = f"{path}/{name}" if path else name
            if (kind := group.links.get_info(raw).type) != h5.h5l.TYPE_HARD:
                what = "link into another file" if kind == h5.h5l.TYPE_EXTERNAL else "soft link"
                raise Refused(f"'{below}' is a {what}")
            if isinstance(item := h5.h5o.open(group, raw), h5.h5g.GroupID):
                pending.append((below, depth + 1))
            elif isinstance(item, h5.h5d.DatasetID):
                headers[below] = _plain_dataset(file, item, below)
            else:
                raise Refused(f"'{below}' is a named type, not an array")
    return headers


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _plain_dataset(file: h5py.File, dataset: Any, path: str) -> tuple[list[int], str, bool]:
    """Return (shape, dtype, True if the numbers are bfloat16) of a dataset. Raises Refused for others."""
    settings, space = dataset.get_create_plist(), dataset.get_space()
    if settings.get_external_count():
        raise Refused(f"the values of '{path}' are in another file")
    layout = settings.get_layout()
    if layout == h5.h5d.VIRTUAL:
        raise Refused(f"'{path}' is a virtual dataset")
    kind, dtype = dataset.get_type().get_class(), dataset.dtype
    boolean = kind == h5.h5t.ENUM and dtype == np.bool_
    brain = kind == h5.h5t.OPAQUE and dtype.itemsize == 2 and _is_bfloat16(file, path)
    if kind not in {h5.h5t.FLOAT, h5.h5t.INTEGER} and not boolean and not brain:
        raise Refused(f"'{path}' contains no plain numbers")
    if dtype.itemsize > 8:
        raise Refused(f"'{path}' contains numbers of {dtype.itemsize} bytes")
    for index in range(settings.get_nfilters()):
        if settings.get_filter(index)[0] not in _FILTERS:
            raise Refused(f"'{path}' is compressed by a filter other than {', '.join(_FILTERS.values())}")
    if space.get_simple_extent_type() == h5.h5s.NULL:
        raise Refused(f"'{path}' has no shape")
    count = math.prod(dataset.shape)
    if layout == h5.h5d.CHUNKED and math.prod(settings.get_chunk()) > max(2**24, 2 * count):
        raise Refused(f"'{path}' is compressed in chunks larger than itself")
    if count * dtype.itemsize > MAX_RATIO * max(dataset.get_storage_size(), 2**14):
        raise Refused(f"'{path}' is compressed more than {MAX_RATIO} to 1")
    return list(dataset.shape), "<u2" if brain else dtype.newbyteorder("<").str, brain


def _is_bfloat16(file: h5py.File, path: str) -> bool:
    """Return True if an attribute of the dataset, which is a text, says that its bytes are bfloat16, as Keras does."""
    with contextlib.suppress(Refused):
        return attribute(file, path, "dtype") == "bfloat16"
    return False


def attribute(file: h5py.File, path: str, name: str) -> Any:
    """Return the attribute `name` of the object at `path`, a text or a list of texts; None if it is missing."""
    item: Any = file.get(path or "/")
    if item is None or name not in item.attrs:
        return None
    read = h5.h5a.open(item.id, name.encode())
    kind, count = read.get_type().get_class(), int(np.prod(read.shape, dtype=object))
    if not count:
        return []
    if kind != h5.h5t.STRING or len(read.shape) > 1 or count > MAX_TEXTS:
        raise Refused(f"the attribute '{name}' is not a text")
    value = item.attrs[name]
    return [_text(each) for each in value] if isinstance(value, np.ndarray) else _text(value)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def arrays(file: h5py.File, paths: list[str]) -> bytes:
    """Return the values of the datasets at `paths` as bytes, one after the other, in C order and little-endian."""
    datasets = [h5.h5d.open(file.id, _raw(path)) for path in paths]
    size = sum(math.prod(dataset.shape) * dataset.dtype.itemsize for dataset in datasets)
    _limit(3 * size, size)
    values: Any = [np.empty(dataset.shape, dataset.dtype.newbyteorder("<")) for dataset in datasets]
    for dataset, own in zip(datasets, values, strict=True):
        if own.size:
            dataset.read(h5.h5s.ALL, h5.h5s.ALL, own)
    return b"".join(values)


def _address_space() -> int:
    """Return the size in bytes of this process's address space; 2 GiB if the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 2**31


_AT_START = _address_space()
_read = 0
"""Number of bytes of the file and of the arrays read so far; the CPU time limit grows with it."""


def _limit(more: int, size: int) -> None:
    """Limit this process to `more` extra bytes of memory and to the CPU time for reading `size` more bytes, where the
    system can.

    The time limit of the parent process holds on all systems.
    """
    global _read
    _read += size
    for kind, value in (("RLIMIT_AS", _AT_START + MEMORY_BYTES + more), ("RLIMIT_CPU", CPU_SECONDS + _read // 2**20)):
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource

            limit = getattr(resource, kind)
            resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))


def answer(file: h5py.File, do: str, **arguments: Any) -> bytes:
    if do == "arrays":
        return arrays(file, **arguments)
    return json.dumps((listing if do == "list" else attribute)(file, **arguments)).encode()


def main() -> None:
    descriptor, start, size = map(int, sys.argv[1:4])
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _limit(0, size)
    sys.addaudithook(audit_hook)
    file = None
    while header := source.read(8):
        request = json.loads(source.read(struct.unpack("<q", header)[0]))
        try:
            file = file or h5py.File(Window(descriptor, start, size), "r")
            reply = b"+" + answer(file, **request)
        except Refused as error:
            reply = b"-" + str(error).encode("utf-8", "backslashreplace")
        except Exception as error:  # the C library reports damage in many ways
            text = str(error).encode("utf-8", "backslashreplace")[:200]
            full = isinstance(error, MemoryError) or b"memory allocation failed" in text
            reply = b"-reading it exceeds the memory limit" if full else b"-it is damaged: " + text
        sink.write(struct.pack("<q", len(reply)) + reply)
        sink.flush()


if __name__ == "__main__":
    main()
