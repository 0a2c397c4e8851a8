"""Compressed text files: gzip, bzip2 and Zstandard, detected by their first bytes and read under a limit."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from kerascli.data.storage.column import pa
from kerascli.foundation.disk.files import memory_limit, open_regular, read_bytes, refuse_bomb
from kerascli.foundation.errors import DataError, FileRefused, safe_text

SUFFIXES = (".gz", ".bz2", ".zst")
_CHUNK = 2**20
_CODECS = {"gzip": "gzip", "bzip2": "bz2", "Zstandard": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "Zstandard"}


def uncompressed_suffix(path: Path) -> str:
    """Return a file's suffix in lower case, without a suffix for compression: `.csv` for `a.csv.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in SUFFIXES else suffix


def read_text_file(path: Path, name: str) -> tuple[bytes, int]:
    """Return the bytes of a text file, uncompressed, and their number in the file.

    Raises DataError if it is damaged or too large, FileRefused if it unpacks to more than a limit.
    """
    limit = memory_limit() // 8  # as Python objects, fields take several times their bytes
    data = read_bytes(path, limit, name)
    if (kind := _kind(data)) is None:
        return data, len(data)
    unpacked = io.BytesIO()
    for chunk in _unpacked(io.BytesIO(data), kind, name, _CHUNK):
        unpacked.write(chunk)
        refuse_bomb(unpacked.tell(), len(data), name, "decompress it", "unpacks to at least")
        if unpacked.tell() > limit:
            text = f"'{safe_text(name)}' unpacks to more than {limit:,} bytes, the limit here"
            raise FileRefused(text, hint="write it as Parquet, which is read in pieces")
    return unpacked.getvalue(), len(data)


def unpacked_start(path: Path, name: str, limit: int) -> tuple[bytes, bool, bool]:
    """Return (up to `limit` bytes from the start of a text file, uncompressed; True if they are all of it; True if the
    file is compressed). Raises DataError."""
    with open_regular(path, name) as file:
        kind, start = _kind(file.peek(8)), bytearray()
        for block in _unpacked(file, kind, name, limit + 1):
            start += block
            if len(start) > limit:
                break
    return bytes(start[:limit]), len(start) <= limit, kind is not None


def unpacked_blocks(path: Path, name: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of a text file, uncompressed, in blocks of `size` bytes. Raises DataError if it is damaged."""
    with open_regular(path, name) as file:
        yield from _unpacked(file, _kind(file.peek(8)), name, size)


def _kind(data: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def _unpacked(file: IO[bytes], kind: str | None, name: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of an open file, decompressed if it is of a `kind`, in blocks. Raises DataError if damaged."""
    try:
        with file if kind is None else pa.CompressedInputStream(file, _CODECS[kind]) as unpacked:
            while block := unpacked.read(size):
                yield block
    except (OSError, ValueError) as error:  # as pyarrow's are
        raise DataError(f"the {kind or 'text'} file is damaged: {safe_text(str(error), 100)}", place=name) from None
