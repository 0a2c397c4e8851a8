"""Read `.keras` files: zip archives of two JSON texts, an HDF5 file and the vocabularies of layers, which are never
extracted to named files."""

import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from kerascli.foundation.disk.files import DAMAGED, load_json, open_regular
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras import hdf5
from kerascli.interop.keras.hdf5 import Hdf5

MAGIC = b"PK\x03\x04"
MAX_CONFIG_BYTES = 8 * 2**20
MAX_VALUES = 1_000_000
MAX_ASSET_BYTES = 32 * 2**20
"""Limit of the size of all vocabularies in a `.keras` file together."""
_MAX_MEMBERS = 1_000
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MEMBERS = (_METADATA, _CONFIG, _WEIGHTS)
_ASSETS, _VOCABULARY = "assets/", "/vocabulary.txt"


class Archive(NamedTuple):
    """Contents of a `.keras` file: model config, Keras's version, vocabularies, and where the weights are."""

    config: Any
    version: str
    weights: tuple[int, int]
    """Start and size of the HDF5 weights file in bytes."""
    vocabularies: Mapping[str, bytes]
    """Mapping from the place of a layer (`layers/integer_lookup`) to its file vocabulary.txt."""


@contextmanager
def open_arrays(path: Path, name: str) -> Iterator[tuple[BufferedReader, Archive | None, Hdf5 | None]]:
    """Context manager that opens a file, and reads all of a `.keras` file but its HDF5 part, which is opened.

    An `.h5` file is such a part alone; any other file has neither. Raises DataError, FileRefused.
    """
    with open_regular(path) as file:
        head = file.read(8)
        file.seek(0)
        archive = _read_archive(file, name) if head.startswith(MAGIC) else None
        if archive is None and head != hdf5.MAGIC:
            yield file, None, None
            return
        start, size = archive.weights if archive else (0, os.fstat(file.fileno()).st_size)
        with Hdf5(file.fileno(), start, size, name) as arrays:
            yield file, archive, arrays


def _read_archive(file: BufferedReader, name: str) -> Archive:
    """Read model config and version from a `.keras` file, and locate its weights. Raises FileRefused."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, name)
            config, metadata = (
                load_config(_read(archive, members[each], MAX_CONFIG_BYTES, name), f"{each} in '{name}'")
                for each in (_CONFIG, _METADATA)
            )
            weights = _weights_range(archive, members[_WEIGHTS], file)
            vocabularies = _vocabularies(archive, members, name)
    except DAMAGED as error:
        raise FileRefused(f"'{name}' is a damaged .keras file: {safe_text(str(error), 120)}") from None
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return Archive(config, version if isinstance(version, str) else "", weights, vocabularies)


def load_config(data: bytes, what: str) -> Any:
    """Parse the JSON of a Keras model config. Raises FileRefused if it is larger than the config of any real model."""
    if len(data) > MAX_CONFIG_BYTES:
        raise FileRefused(f"{what} has {len(data):,} bytes; the limit is {MAX_CONFIG_BYTES:,}")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise FileRefused(f"{what} has more than {MAX_VALUES:,} values")
    return load_json(data, what.replace("'", ""))


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise FileRefused(f"'{name}' has {len(infos):,} members; the limit is {_MAX_MEMBERS:,}")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename in members:
            raise FileRefused(f"'{name}' has two members '{safe_text(info.filename, 60)}'")
        _refuse_member(info, name)
        members[info.filename] = info
    if missing := [member for member in _MEMBERS if member not in members]:
        raise FileRefused(f"'{name}' is not a .keras file: it has no {missing[0]}")
    return members


def _refuse_member(info: zipfile.ZipInfo, name: str) -> None:
    member, shown = info.filename, safe_text(info.filename, 60)
    if member.startswith("/") or "\\" in member or ".." in member.split("/"):
        raise FileRefused(f"'{name}' has a member '{shown}', whose path leads outside the archive")
    is_asset = member.startswith(_ASSETS)
    if is_asset and not member.endswith(_VOCABULARY) and not info.is_dir():
        raise FileRefused(f"'{name}' has a member '{shown}': no assets but vocabularies are supported")
    if member not in _MEMBERS and not is_asset and not info.is_dir():
        raise FileRefused(f"'{name}' has a member '{shown}', which does not belong in a .keras file")
    if info.flag_bits & 1:
        raise FileRefused(f"'{name}': '{shown}' is encrypted")
    packed = {zipfile.ZIP_STORED} if member == _WEIGHTS else {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    if info.compress_type not in packed:
        text = f"'{name}': '{shown}' is compressed in a way that Keras does not use"
        raise FileRefused(text, hint="save it again with Keras")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, name: str) -> bytes:
    """Read a member of a `.keras` file, with a size limit during decompression, since the size in the header is not
    trusted."""
    with archive.open(info) as member:
        data = member.read(limit + 1)
    if len(data) > limit and info.filename.startswith(_ASSETS):
        raise FileRefused(f"'{name}' has vocabularies of more than {MAX_ASSET_BYTES:,} bytes")
    if len(data) > limit:
        raise FileRefused(f"'{name}': {info.filename} decompresses to more than {limit:,} bytes")
    return data


def _vocabularies(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> dict[str, bytes]:
    """Return the bytes of each vocabulary.txt, by the place of its layer, with a limit during decompression."""
    vocabularies: dict[str, bytes] = {}
    left = MAX_ASSET_BYTES
    for member, info in members.items():
        if member.startswith(_ASSETS) and not info.is_dir():
            data = _read(archive, info, left, name)
            left -= len(data)
            vocabularies[member.removeprefix(_ASSETS).removesuffix(_VOCABULARY)] = data
    return vocabularies


def _weights_range(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: BufferedReader) -> tuple[int, int]:
    """Return start and size of the HDF5 weights in a `.keras` file, after reading them all to verify their checksum."""
    with archive.open(info) as member:
        while member.read(2**20):
            pass
    file.seek(info.header_offset)
    header = file.read(30)
    return info.header_offset + len(header) + sum(struct.unpack("<2H", header[26:])), info.file_size
