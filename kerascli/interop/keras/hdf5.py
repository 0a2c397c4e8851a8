"""Read untrusted HDF5 files in a separate process: shapes first, then values of expected arrays only."""

import json
import math
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from kerascli.foundation.errors import ConfigError, FileRefused, safe_text

_CHILD = Path(__file__).with_name("hdf5_child.py")
MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_PARTS = 1_000
SECONDS = 60.0
"""Time limit of a request to the process that reads an HDF5 file, in seconds; each byte to read extends it. The process
limits its own CPU time further, where the system can."""
_BYTES_A_SECOND = 10 * 2**20
_TOGETHER = 200
_TOGETHER_BYTES = 2**20
"""Largest total size in bytes of the arrays read by one request (at most `_TOGETHER` arrays); every open array takes
memory."""


class Dataset(NamedTuple):
    """Shape and dtype of an array in an HDF5 file, whose values have not been read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """numpy's dtype of the bytes in the HDF5 file; for bfloat16, which numpy lacks, uint16 with the same bits."""
    is_bfloat16: bool

    def read(self, data: bytes, start: int) -> np.ndarray:
        """Return the values of the array from the bytes `data`, in which they begin at `start`, in this machine's byte
        order; bfloat16 becomes float32."""
        values = np.frombuffer(data, self.dtype, math.prod(self.shape), start).reshape(self.shape)
        own = values.astype(np.uint32 if self.is_bfloat16 else self.dtype.newbyteorder("="))
        return (own << 16).view(np.float32) if self.is_bfloat16 else own

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


class Hdf5:
    """An open HDF5 file that a separate process reads. The process's replies are checked; a crash of the process raises
    FileRefused."""

    def __init__(self, descriptor: int, start: int, size: int, name: str) -> None:
        need_h5py("reading")
        self._name = name
        self._seconds = SECONDS + size / _BYTES_A_SECOND
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD), str(descriptor), str(start), str(size)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(descriptor,),
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """Shape and dtype of every array in the HDF5 file, by the array's path. Raises FileRefused."""
        headers: Mapping[str, Any] = json.loads(self._ask({"do": "list"}))
        return {path: Dataset(tuple(shape), np.dtype(dtype), brain) for path, (shape, dtype, brain) in headers.items()}

    def text(self, path: str, name: str) -> str | None:
        """Return the text attribute `name` of the object at `path`; None if missing. Raises FileRefused if not text."""
        if (value := self._attribute(path, name)) is not None and not isinstance(value, str):
            raise FileRefused(f"'{self._name}': the attribute '{safe_text(name)}' is not a text")
        return value

    def texts(self, path: str, name: str) -> list[str]:
        """Return the texts in an HDF5 attribute, even if Keras split the attribute (`name0`, `name1`). Raises
        FileRefused."""
        if isinstance(value := self._attribute(path, name), list):
            return value
        parts = (self._attribute(path, f"{name}{number}") for number in range(_MOST_PARTS))
        return [text for part in takewhile(lambda part: isinstance(part, list), parts) for text in part]

    def _attribute(self, path: str, name: str) -> Any:
        return json.loads(self._ask({"do": "attribute", "path": path, "name": name}))

    def array(self, path: str) -> np.ndarray:
        """Return the values of one array of the HDF5 file; the caller has checked its shape. Raises FileRefused."""
        return next(self.arrays([path]))

    def arrays(self, paths: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the values of several arrays of the HDF5 file; small arrays are read together. Raises FileRefused."""
        together: list[str] = []
        size = 0
        for path in paths:
            own = self.datasets[path].nbytes
            if together and (len(together) == _TOGETHER or size + own > _TOGETHER_BYTES):
                yield from self._read(together, size)
                together, size = [], 0
            together.append(path)
            size += own
        if together:
            yield from self._read(together, size)

    def _read(self, paths: Sequence[str], size: int) -> Iterator[np.ndarray]:
        self._seconds += size / _BYTES_A_SECOND
        data = self._ask({"do": "arrays", "paths": paths})
        if len(data) != size:
            raise FileRefused(f"'{self._name}' is refused: an array has another size than its header declares")
        start = 0
        for dataset in map(self.datasets.__getitem__, paths):
            yield dataset.read(data, start)
            start += dataset.nbytes

    def _ask(self, request: Mapping[str, Any]) -> bytes:
        data = json.dumps(request).encode()
        until, timer = time.monotonic() + self._seconds, threading.Timer(self._seconds, self._process.kill)
        timer.start()
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(struct.pack("<q", len(data)) + data)
            self._process.stdin.flush()
            (length,) = struct.unpack("<q", self._process.stdout.read(8))
            reply = self._process.stdout.read(length)
        except (OSError, struct.error):
            reply = b""
        finally:
            timer.cancel()
        if reply[:1] == b"-":
            raise FileRefused(f"'{self._name}' is refused: {safe_text(reply[1:].decode(errors='replace'))}")
        if reply[:1] != b"+":
            why = "the process that read it crashed" if time.monotonic() < until else "reading it takes too long"
            raise FileRefused(f"'{self._name}' is refused: {why}")
        return reply[1:]


def need_h5py(verb: str) -> None:
    """Raise ConfigError if the package h5py, which reads and writes HDF5 files, is not installed."""
    if find_spec("h5py") is None:
        hint = 'pip install "kerascli[keras]"'
        raise ConfigError(f"{verb} Keras files needs the package 'h5py', which is not installed", hint=hint)
