"""Copies of remote files in the cache folder: made once, file by file, and again if the remote file has changed."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kerascli.data.download import Progress, download_file, only_one
from kerascli.data.remote.addresses import FILE_SCHEMES, address_fault, scheme_of, with_environment
from kerascli.data.storage.partitions import Part, parquet_parts, parts_below
from kerascli.foundation.disk import storage
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import ConfigError, DataError, DataMissing, first_line, safe_text

_BLOCK = 2**20
_CONNECT_SECONDS, _REQUEST_SECONDS = 10, 30


def parts_at(path: str, folder: Path, *, whole_folders: bool, progress: Progress | None = None) -> list[Part]:
    """Return the files at a path or an address as local files: one, or those of Parquet in a folder (a prefix).

    Paths are relative to `folder`. Remote files are copied to the cache folder unless a copy is there. `path` is how
    messages name the files, so `$env.NAME` in it stays. Raises DataError, ConfigError, StorageError.
    """
    address = with_environment(path)
    scheme = scheme_of(address)
    if scheme is None:
        if path.startswith("$env.") and not os.path.isabs(address):
            raise ConfigError(f"'{safe_text(path)}': expected an address or an absolute path")
        local = folder / address
        return parts_below(local, path) if whole_folders and local.is_dir() else [Part(local, path)]
    if scheme not in FILE_SCHEMES:
        raise ConfigError(f"'{safe_text(path)}': {address_fault(f'{scheme}://', FILE_SCHEMES)}")
    if scheme == "https":
        return [Part(_downloaded(path, address, progress), path.partition("#")[0])]
    return _from_bucket(path, address, whole_folders, progress)


def last_name(path: str) -> str:
    """Return the last part of a path or an address, as it is written: its name in the records of a run."""
    return path.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2]


def _downloaded(path: str, address: str, progress: Progress | None) -> Path:
    """Return the copy of a file at an https address, whose fragment (`#sha256=...`) is its SHA-256."""
    if (found := re.fullmatch(r"([^#]*)#sha256=([0-9A-Fa-f]{64})", address)) is None:
        text = f"'{safe_text(path)}': a file at https:// needs its SHA-256 (64 hexadecimal digits)"
        raise ConfigError(text, hint="set 'sha256' of the source, or write ADDRESS#sha256=...")
    url, digest = found[1], found[2].lower()
    local = _cached(digest, path)
    download_file(url, local, digest=digest, shown=path.partition("#")[0], progress=progress)
    return local


def _from_bucket(path: str, address: str, whole_folders: bool, progress: Progress | None) -> list[Part]:
    from pyarrow.fs import FileSelector, FileType

    parts = urlsplit(address, allow_fragments=False)
    key = f"{parts.netloc}{parts.path}".rstrip("/")
    if "@" in parts.netloc or parts.query or not parts.netloc:
        raise ConfigError(f"'{safe_text(path)}': expected {parts.scheme}://BUCKET/PATH")
    with _network(path):
        files = _file_system(parts.scheme, parts.netloc)
        info = files.get_file_info(key)
        if info.type == FileType.NotFound:
            raise DataMissing(f"there is nothing at '{safe_text(path)}'")
        if info.is_file:
            return [Part(_copy(files, info, address, path, progress), path)]
        if not whole_folders:
            raise DataError("this is a folder; the source reads one file", place=path)
        below = files.get_file_info(FileSelector(key, recursive=True))
        found = {each.path[len(key) + 1 :]: each for each in below if each.is_file}

    def copy(name: str, shown: str) -> Path:
        with _network(shown):
            return _copy(files, found[name], f"{address.rstrip('/')}/{name}", shown, progress)

    return parquet_parts(found, path, copy)


def _file_system(scheme: str, bucket: str) -> Any:
    """Return pyarrow's file system, with the credentials, endpoint and region that the environment has."""
    from pyarrow import fs

    names = ("STORAGE_EMULATOR_HOST",) if scheme == "gs" else ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
    server = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    own: dict[str, Any] = {"endpoint_override": server.netloc, "scheme": server.scheme} if endpoint else {}
    if scheme == "gs":
        return fs.GcsFileSystem(anonymous=bool(endpoint), retry_time_limit=timedelta(seconds=_REQUEST_SECONDS), **own)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return fs.S3FileSystem(
        region=region or (None if endpoint else fs.resolve_s3_region(bucket)), connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS, **own,
    )  # fmt: skip


def _copy(files: Any, info: Any, address: str, shown: str, progress: Progress | None) -> Path:
    """Return the local copy of a remote file; it has the remote file's size and time of change while it is current."""
    local = _cached(hashlib.sha256(address.encode()).hexdigest(), shown)
    changed = info.mtime_ns or 0

    def blocks() -> Iterator[bytes]:
        done = 0
        with _network(shown), files.open_input_stream(info.path) as stream:
            while block := stream.read(_BLOCK):
                yield block
                done += len(block)
                if progress is not None:
                    progress(shown, done, info.size)
        if done != info.size:
            raise DataError(f"the connection ended after {done:,} of {info.size:,} bytes", place=shown)

    with only_one(local):
        if local.exists() and (local.stat().st_size, local.stat().st_mtime_ns) == (info.size, changed):
            return local
        storage.write_bytes(local, Pieces(info.size, blocks))
        os.utime(local, ns=(changed, changed))
    return local


def _cached(digest: str, shown: str) -> Path:
    """Return the path of a copy in the cache folder, in a folder of its own."""
    folder = storage.cache_folder() / "copies" / digest[:32]
    storage.make_folder(folder)
    return folder / last_name(shown)


@contextmanager
def _network(shown: str) -> Iterator[None]:
    """Context manager that turns errors of pyarrow's file systems into DataError, with the server's own words."""
    try:
        yield
    except (OSError, ValueError) as error:  # as pyarrow's are
        raise DataError(f"cannot read '{safe_text(shown)}': {safe_text(first_line(error), 300)}") from None
