"""Reader of npz archives; array headers are size-limited, and compared with the data before memory is allocated."""

import io
import math
import zipfile
from collections.abc import Collection
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from kerascli.foundation.disk.files import DAMAGED, MAX_MEMBERS, OBJECT_BYTES, memory_limit, refuse_bomb
from kerascli.foundation.errors import FileRefused, safe_text

_MAX_HEADER = 2**16


class NpyHeader(NamedTuple):
    """Header of an array in npy format, and the offset at which the array's data begins."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def object_bytes(self) -> int:
        """Memory overhead of the array's texts as Python strings, in bytes; 0 for numbers."""
        return math.prod(self.shape) * OBJECT_BYTES if self.dtype.kind in "US" else 0


def load_npz(
    source: IO[bytes], name: str, limit: int | None = None, *, without: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Return a mapping from name to array for an npz file, except the names in `without`.

    Raises FileRefused before anything larger than `limit` bytes is allocated.
    """
    allowed = memory_limit() if limit is None else limit
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if array_name(member) not in without]
            packed = sum(member.compress_size for member in members)
            total = sum(member.file_size for member in members)
            _refuse_large(total, packed, allowed, name)
            headers = npz_headers(source, name)
            _refuse_large(total + sum(header.object_bytes for header in headers.values()), packed, allowed, name)
            return {key: _read_member(archive, key) for key in headers if key not in without}
    except DAMAGED as error:
        raise FileRefused(f"'{name}' is not a sound npz file: {safe_text(str(error), 120)}") from None


def _refuse_large(unpacked: int, packed: int, allowed: int, name: str) -> None:
    refuse_bomb(unpacked, packed, name, _UNPACKED_NPZ)
    if unpacked > allowed:
        raise FileRefused(f"'{name}' unpacks to {unpacked:,} bytes; the limit here is {allowed:,}", hint=_UNPACKED_NPZ)


_UNPACKED_NPZ = "uncompressed arrays, as numpy.savez writes them, are read in pieces, whatever their size"


def array_name(member: zipfile.ZipInfo) -> str:
    """Return the name that numpy gives to an array in an npz file: its file name without .npy."""
    return member.filename.removesuffix(".npy")


def npz_headers(source: IO[bytes], name: str) -> dict[str, NpyHeader]:
    """Return a mapping from name to header of the arrays in an npz file, without their data. Raises FileRefused."""
    headers: dict[str, NpyHeader] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise FileRefused(f"'{name}' has {len(members):,} members; the limit here is {MAX_MEMBERS:,}")
            for member in members:
                if (key := array_name(member)) in headers:
                    raise FileRefused(f"'{name}' has the array '{safe_text(key)}' twice")
                with archive.open(member) as file:
                    headers[key] = npy_header(file, key, name, member.file_size)
    except DAMAGED as error:
        raise FileRefused(f"'{name}' is not a sound npz file: {safe_text(str(error), 120)}") from None
    return headers


def npy_header(file: IO[bytes], key: str, name: str, size: int) -> NpyHeader:
    """Read the header of an npy stream of `size` bytes, and leave the stream at the start of the array's data.

    Raises FileRefused if the header is not valid, declares more data than there is, or Python objects.
    """
    where = f"'{safe_text(key)}' in '{name}'" if key else f"'{name}'"
    try:
        header = _header(file)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise FileRefused(f"{where} is not an npy array: {safe_text(str(error), 120)}") from None
    if header.dtype.hasobject:
        raise FileRefused(f"{where} holds Python objects; pickled arrays are never loaded")
    shape, data_bytes = header.shape, size - header.start
    if min(shape, default=0) < 0:
        raise FileRefused(f"{where} is not an npy array: a negative size in the shape {shape}")
    if header.nbytes > data_bytes:
        raise FileRefused(f"{where} declares {header.nbytes:,} bytes of data (shape {shape}) but has {data_bytes:,}")
    return header


def _header(file: IO[bytes]) -> NpyHeader:
    """Read an npy header of limited size; numpy would first read up to 4 GiB, as the file declares, and then check."""
    is_short = npy_format.read_magic(file) == (1, 0)  # type: ignore[arg-type]
    length_field = file.read(2 if is_short else 4)
    length = int.from_bytes(length_field, "little")
    if length > _MAX_HEADER:
        raise ValueError(f"a header of {length:,} bytes; the limit is {_MAX_HEADER:,}")
    read = npy_format.read_array_header_1_0 if is_short else npy_format.read_array_header_2_0
    return NpyHeader(
        *read(io.BytesIO(length_field + file.read(length))), start=npy_format.MAGIC_LEN + len(length_field) + length
    )


def _read_member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    member = f"{key}.npy" if f"{key}.npy" in archive.NameToInfo else key
    with archive.open(member) as file:
        array = npy_format.read_array(file, allow_pickle=False)  # type: ignore[arg-type]
        file.read()  # to the end: the checksum is compared there
    return array
