"""Read the archives of CIFAR-10 and CIFAR-100, whose batches are pickles, without unpickling.

The opcodes of a pickle are only listed; none is executed. Every batch has the same form: the pixels are its one long
byte string, the labels are the list of small integers after their key.
"""

import hashlib
import io
import pickletools
import tarfile
import zlib
from collections.abc import Mapping

import numpy as np

from kerascli.data.datasets.download import Remote
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.errors import DataError

_PIXELS = 3 * 32 * 32
_BYTES = {"BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
_TEXT = {"BINUNICODE", "SHORT_BINUNICODE", *_BYTES}
_NUMBERS = {"BININT1", "BININT2", "BININT"}


def cifar_archive(file: str, path: str, sha256: str) -> Remote:
    """Return the location of a CIFAR archive: its URL on Krizhevsky's site, and its path in Keras's cache."""

    def problem(data: bytes) -> str | None:
        return None if hashlib.sha256(data).hexdigest() == sha256 else "the file is damaged (SHA-256 mismatch)"

    return Remote(f"https://www.cs.toronto.edu/~kriz/{file}", path, 256 * 2**20, problem)


def read_cifar(
    data: bytes, name: str, splits: Mapping[str, tuple[str, ...]], key: str, classes: int
) -> dict[str, Table]:
    """Return a mapping from split to table of CIFAR images and labels, read from an archive. Raises DataError.

    `splits` maps the name of a split to the names of its files.
    """
    batches = _batches(data, {batch for names in splits.values() for batch in names}, name)
    tables: dict[str, Table] = {}
    for split, names in splits.items():
        found = [parse_batch(batches[batch], f"{name}: '{batch}'", key, classes) for batch in names]
        x, y = zip(*found, strict=True)
        pictures = np.concatenate(x).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        columns = {"x": np.ascontiguousarray(pictures), "y": np.concatenate(y)[:, None]}
        tables[split] = table_of(columns, f"{name} {split}")
    return tables


def _batches(data: bytes, wanted: set[str], name: str) -> dict[str, bytes]:
    """Return a mapping from file name to contents for the wanted files of a CIFAR archive. Raises DataError.

    Nothing is extracted to disk.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            for member in tar:
                last = member.name.rpartition("/")[2]
                if member.isreg() and last in wanted and (file := tar.extractfile(member)):
                    found[last] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: the archive cannot be read: {error}") from None
    if missing := wanted - set(found):
        raise DataError(f"{name}: the archive has no '{sorted(missing)[0]}'")
    return found


def parse_batch(data: bytes, where: str, key: str = "labels", classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Parse a pickled batch of CIFAR images to pixels (N, 3072) and labels (N,), both uint8. Raises DataError."""
    pixels = b""
    labels: list[int] = []
    in_labels = False
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _NUMBERS and in_labels and isinstance(argument, int):
                labels.append(argument)
            elif opcode.name in _TEXT:
                in_labels = argument in (key, key.encode())
                if opcode.name in _BYTES and argument is not None and len(argument) > len(pixels):
                    pixels = argument if isinstance(argument, bytes) else argument.encode("latin-1")
    except (ValueError, UnicodeError) as error:
        raise DataError(f"{where} cannot be read: {str(error)[:100]}") from None
    if not labels or len(pixels) != _PIXELS * len(labels) or not all(0 <= label < classes for label in labels):
        raise DataError(f"{where} has {len(pixels):,} bytes of pixels and {len(labels):,} labels")
    return np.frombuffer(pixels, np.uint8).reshape(-1, _PIXELS), np.array(labels, np.uint8)
