"""What is fetched over the network: whole, told of while it comes, under a cap, and kept only when it is sound."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from kerascli import storage
from kerascli.errors import DataError, Fault, safe_text
from kerascli.errors import Path as FaultPath

MIRROR = "KERASCLI_DATASETS_URL"
"""An environment variable: a base URL to download from instead, for mirrors and tests."""

Progress = Callable[[str, int, int], None]
"""(what, bytes so far, bytes in all), while a download goes on."""

_TIMEOUT_SECONDS = 30
_BLOCK = 2**18


def download(
    url: str,
    local: Path,
    *,
    limit: int,
    problem: Callable[[bytes], str | None],
    asked: FaultPath,
    progress: Progress | None = None,
) -> bytes:
    """The contents of a file on the network of at most `limit` bytes, once they are kept at `local`.

    `problem` says what is wrong with them, or None; `asked` is where a config wants the file. Raises DataError.
    """
    url = _mirrored(url)
    try:
        data = _read(url, local.name, limit, progress)
        if wrong := problem(data):
            raise _Failed(wrong)
    except _Failed as failed:
        text = f"cannot download {url}: {safe_text(failed.reason, 200)}"
        raise DataError(Fault(text, asked, hint=f"or place the file at '{local}' by hand")) from None
    storage.make_folder(local.parent)
    storage.write_bytes(local, data)
    return data


class _Failed(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def _mirrored(url: str) -> str:
    base = os.environ.get(MIRROR)
    return f"{base.rstrip('/')}/{url.rpartition('/')[2]}" if base else url


def _read(url: str, name: str, limit: int, progress: Progress | None) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            if size > limit:
                raise _Failed(f"the server announces {size:,} bytes; the limit is {limit:,}")
            blocks: list[bytes] = []
            done = 0
            while block := answer.read(_BLOCK):
                blocks.append(block)
                done += len(block)
                if done > limit:
                    raise _Failed(f"more than {limit:,} bytes")
                if progress and done != size:
                    progress(name, done, size)
    except urllib.error.HTTPError as error:
        error.close()
        raise _Failed(f"the server says {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _Failed(str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise _Failed(str(error) or type(error).__name__) from None
    if done < size:
        raise _Failed(f"the connection ended after {done:,} of {size:,} bytes")
    if progress:
        progress(name, done, done)
    return b"".join(blocks)
