"""Read arrays of npz files, npy files and folders of npy files into memory, or memory-map large ones."""

import mmap
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from kerascli.data.storage.on_disk import is_large
from kerascli.foundation.disk.files import DAMAGED, memory_limit, open_regular
from kerascli.foundation.disk.npz import NpyHeader, array_name, load_npz, npy_header, npz_headers
from kerascli.foundation.errors import FileRefused, safe_text

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Format of a zip member's local header: magic, and the lengths of the file name and extra field that follow."""


def read_arrays(path: Path, name: str) -> dict[str, np.ndarray]:
    """Return a mapping from name to array for the npz file, npy file or folder at `path`.

    Large uncompressed arrays are views of the memory-mapped file, read when used. Raises DataError, FileRefused.
    """
    if (files := _npy_files(path, name)) is not None:
        large = _are_large(array_headers(path, name))
        return {file.stem: _read_npy(file, shown, large=large) for file, shown in files.items()}
    with open_regular(path, name) as file:
        return _read_npz(file, name)


def array_headers(path: Path, name: str) -> dict[str, NpyHeader]:
    """Return a mapping from name to header (dtype, shape) for the arrays at `path`, without reading data.

    Raises DataError, FileRefused.
    """
    if (files := _npy_files(path, name)) is not None:
        return {file.stem: _header(file, shown) for file, shown in files.items()}
    with open_regular(path, name) as file:
        return npz_headers(file, name)


def array_paths(path: Path) -> list[Path]:
    """Return the paths of the files with the arrays at `path`: a folder's npy files, or the npz or npy file itself."""
    return sorted(path.glob("*.npy")) if path.is_dir() else [path]


def _npy_files(path: Path, name: str) -> dict[Path, str] | None:
    """Return the npy files at `path`, a folder or a file, with their names in messages; None if it is an npz file."""
    if path.is_dir():
        return {file: f"{name}/{file.name}" for file in array_paths(path)}
    with open_regular(path, name) as file:
        return {path: name} if file.read(len(_NPY)) == _NPY else None


def _header(path: Path, name: str) -> NpyHeader:
    with open_regular(path, name) as file:
        return npy_header(file, "", name, os.fstat(file.fileno()).st_size)


def _are_numbers(header: NpyHeader) -> bool:
    return header.dtype.kind in "biuf"


def _are_large(headers: Mapping[str, NpyHeader]) -> bool:
    return is_large(sum(header.nbytes for header in headers.values() if _are_numbers(header)))


def _read_npy(path: Path, name: str, *, large: bool) -> np.ndarray:
    with open_regular(path, name) as file:
        header = npy_header(file, "", name, os.fstat(file.fileno()).st_size)
        if large and _are_numbers(header):
            return _view(_map(file, name), header, header.start)
        if (nbytes := header.nbytes + header.object_bytes) > memory_limit():
            raise FileRefused(f"'{name}' takes {nbytes:,} bytes; the limit here is {memory_limit():,}")
        file.seek(0)
        return npy_format.read_array(file, allow_pickle=False)


def _read_npz(file: BufferedReader, name: str) -> dict[str, np.ndarray]:
    headers = npz_headers(file, name)
    try:
        starts = dict(_plain(file, headers))
    except DAMAGED as error:
        raise FileRefused(f"'{name}' is not a sound npz file: {safe_text(str(error), 120)}") from None
    if not _are_large({key: headers[key] for key in starts}):
        return load_npz(file, name)
    read = load_npz(file, name, without=starts.keys())
    mapped = _map(file, name)
    arrays = read | {key: _view(mapped, headers[key], at + headers[key].start) for key, at in starts.items()}
    return {key: arrays[key] for key in headers}


def _plain(file: BufferedReader, headers: Mapping[str, NpyHeader]) -> Iterator[tuple[str, int]]:
    """Yield the name of each uncompressed array of numbers in an npz file, and the offset at which it begins."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            key = array_name(member)
            if member.compress_type != zipfile.ZIP_STORED or not _are_numbers(headers[key]):
                continue
            file.seek(member.header_offset)
            magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            start = member.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
            if magic != _ZIP or member.compress_size != member.file_size or start + member.file_size > size:
                raise zipfile.BadZipFile(f"the member '{member.filename}' is not where it should be")
            yield key, start


def _map(file: BufferedReader, name: str) -> mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise FileRefused(f"'{name}' cannot be mapped: {safe_text(str(error), 120)}") from None


def _view(mapped: mmap.mmap, header: NpyHeader, start: int) -> np.ndarray[Any, Any]:
    """Return a view of an array in a memory-mapped file; the caller has checked that it lies within the file."""
    order = "F" if header.fortran_order else "C"
    return np.ndarray(header.shape, header.dtype, mapped, start, order=order)
