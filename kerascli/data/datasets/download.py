"""Data sets that are downloaded once, to where Keras keeps them and under its names: both find the same files."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from kerascli import storage
from kerascli.data.base import Context
from kerascli.errors import DataError, Fault, safe_text
from kerascli.files import read_bytes

MIRROR = "KERASCLI_DATASETS_URL"
"""An environment variable: a base URL to download from instead, for mirrors and tests."""

_TIMEOUT_SECONDS = 30
_BLOCK = 2**18


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the network and its place at home, below Keras's `datasets`."""

    url: str
    path: str
    limit: int
    """The most bytes that it may have."""
    problem: Callable[[bytes], str | None]
    """What is wrong with the contents, or None."""

    @property
    def local(self) -> Path:
        return keras_home() / "datasets" / self.path


def keras_home() -> Path:
    """`$KERAS_HOME`, or `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def fetch(remote: Remote, context: Context) -> bytes:
    """The contents of the file: the one that is there, if it is sound, else downloaded and kept. Raises DataError."""
    if remote.local.exists():
        data = read_bytes(remote.local, remote.limit)
        if remote.problem(data) is None:
            return data
    data = _download(remote, context)
    if problem := remote.problem(data):
        raise _failed(remote, problem)
    storage.make_folder(remote.local.parent)
    storage.write_bytes(remote.local, data)
    return data


def _download(remote: Remote, context: Context) -> bytes:
    url = _url(remote)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            if size > remote.limit:
                raise _failed(remote, f"the server announces {size:,} bytes; the limit is {remote.limit:,}")
            blocks: list[bytes] = []
            done = 0
            while block := answer.read(_BLOCK):
                blocks.append(block)
                done += len(block)
                if done > remote.limit:
                    raise _failed(remote, f"more than {remote.limit:,} bytes")
                if context.progress and done != size:
                    context.progress(remote.local.name, done, size)
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(remote, f"the server says {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _failed(remote, str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise _failed(remote, str(error) or type(error).__name__) from None
    if done < size:
        raise _failed(remote, f"the connection ended after {done:,} of {size:,} bytes")
    if context.progress:
        context.progress(remote.local.name, done, done)
    return b"".join(blocks)


def _url(remote: Remote) -> str:
    base = os.environ.get(MIRROR)
    return f"{base.rstrip('/')}/{remote.url.rpartition('/')[2]}" if base else remote.url


def _failed(remote: Remote, reason: str) -> DataError:
    text = f"cannot download {_url(remote)}: {safe_text(reason, 200)}"
    return DataError(Fault(text, ("data", "source"), hint=f"or place the file at '{remote.local}' by hand"))
