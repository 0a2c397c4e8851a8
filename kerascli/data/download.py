"""Download files over the network, with progress and a size limit; only complete, valid files are stored."""

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from kerascli.foundation.disk import locks, storage
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import DataError, safe_text
from kerascli.foundation.errors import Path as FaultPath

MIRROR = "KERASCLI_DATASETS_URL"
"""Name of the environment variable whose base URL replaces that of all downloads, for mirrors and tests."""

Progress = Callable[[str, int, int], None]
"""Type of the callback during a download, which is called with (name, bytes done, total bytes)."""

Problem = Callable[[bytes], str | None]
"""Function that returns the problem with a file's contents as text, or None if they are valid."""

_TIMEOUT_SECONDS = 30
_PATIENCE_SECONDS = 3600.0
"""Time to wait for another process that downloads the same file."""
_BLOCK = 2**18


def download(
    url: str, local: Path, *, limit: int, problem: Problem, asked: FaultPath, progress: Progress | None, there: str = ""
) -> bytes:
    """Download a file of at most `limit` bytes, store it at `local`, and return its contents. Raises DataError.

    If several need the file, one downloads it, and the others wait. `asked` is the path in the config that needs the
    file, `there` the end of the error message, about a file that is there already.
    """
    with only_one(local):
        if local.exists() and problem(data := read_bytes(local, limit)) is None:  # downloaded meanwhile
            return data
        url = _mirrored(url)
        try:
            data = b"".join(_blocks(url, local.name, limit, progress))
            if wrong := problem(data):
                raise DownloadFailed(wrong)
        except DownloadFailed as failed:
            text = f"cannot download {url}: {safe_text(str(failed), 200)}{there}"
            raise DataError(text, path=asked, hint=f"or place the file at '{local}' by hand") from None
        storage.make_folder(local.parent)
        storage.write_bytes(local, data)
    return data


def download_file(
    url: str, local: Path, *, digest: str | None, shown: str, hint: str | None = None, progress: Progress | None = None
) -> None:
    """Download a file of any size that has the given SHA-256 or MD5 to `local`, unless it exists. Raises DataError.

    `shown` is its address in messages, `hint` the hint of the error. Without a digest, any file is accepted.
    """
    with only_one(local):
        if local.exists():
            return
        limit = shutil.disk_usage(local.parent).free
        try:
            md5 = hashlib.md5(usedforsecurity=False)
            blocks = _hashed(_blocks(_mirrored(url), shown, limit, progress), md5)
            with storage.staged(local, Pieces(0, lambda: blocks)) as file:
                kind, own = ("MD5", md5.hexdigest()) if len(digest or "") == 32 else ("SHA-256", file.sha256)
                if digest not in (None, own):
                    raise DownloadFailed(f"its {kind} is {own}, expected {digest}")
                storage.place(file, local)
        except DownloadFailed as failed:
            text = f"cannot download {safe_text(shown)}: {safe_text(str(failed), 300)}"
            raise DataError(text, hint=hint) from None
        storage.sync_folder(local.parent)


def _hashed(blocks: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def only_one(local: Path) -> AbstractContextManager[None]:
    """Return a context that one process of this machine at a time is in, of those that download the same file."""
    name = hashlib.sha256(os.path.realpath(local).encode(errors="surrogateescape")).hexdigest()[:16]
    folder = storage.cache_folder() / "downloads" / name
    storage.make_folder(folder)
    return locks.lock(folder, patience_seconds=_PATIENCE_SECONDS)


class DownloadFailed(Exception):
    """Error of a download; its text is the reason."""


def _mirrored(url: str) -> str:
    base = os.environ.get(MIRROR)
    return f"{base.rstrip('/')}/{url.rpartition('/')[2]}" if base else url


def _blocks(url: str, name: str, limit: int, progress: Progress | None) -> Iterator[bytes]:
    """Yield the contents of a remote file of at most `limit` bytes. Raises DownloadFailed."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            if size > limit:
                raise DownloadFailed(f"the server announces {size:,} bytes; the limit is {limit:,}")
            done = 0
            while block := answer.read(_BLOCK):
                yield block
                done += len(block)
                if done > limit:
                    raise DownloadFailed(f"more than {limit:,} bytes")
                if progress and done != size:
                    progress(name, done, size)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(f"the server says {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise DownloadFailed(str(getattr(error, "reason", error)) or type(error).__name__) from None
    if done < size:
        raise DownloadFailed(f"the connection ended after {done:,} of {size:,} bytes")
    if progress:
        progress(name, done, done)
