"""Checksums of a run's files: JSON files that begin with their own, and files whose SHA-256 run.json records."""

import contextlib
import hashlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kerascli.foundation.disk import storage
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import FileRefused
from kerascli.runs.outputs import FACTS, OutputFiles
from kerascli.runs.reading import json_object, must_open, must_read, quoted

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
"""Type of a SHA-256 in hexadecimal."""

_OPEN, _CLOSE = b'{\n  "sha256": "', b'",\n'
_SEAL_BYTES = len(_OPEN) + 64 + len(_CLOSE)


def sealed(facts: Mapping[str, Any]) -> bytes:
    """Return the contents of a JSON file with the dict `facts` (not empty), after a checksum of these contents."""
    rest = storage.text_bytes(storage.json_text(facts)).removeprefix(b"{\n")
    return _seal(rest) + rest


def is_sealed(data: bytes) -> bool:
    """Return True if the contents of a JSON file begin with a checksum as `sealed` writes it."""
    return data.startswith(_OPEN)


def unsealed(data: bytes, path: Path) -> dict[str, Any]:
    """Return the dict from a JSON file that `sealed` wrote. Raises FileRefused, naming `path`, if a byte changed."""
    rest = data[_SEAL_BYTES:]
    if data[:_SEAL_BYTES] != _seal(rest):
        raise FileRefused(f"{quoted(path)} is damaged: its sha256 differs from the one in its first line")
    facts = json_object(data, path)
    del facts["sha256"]
    return facts


def _seal(rest: bytes) -> bytes:
    return _OPEN + hashlib.sha256(rest).hexdigest().encode() + _CLOSE


class VerifiedFiles(OutputFiles):
    """Writer and reader of the files of a run whose SHA-256 run.json records.

    They are written before run.json, or replaced in such an order that run.json is correct after any crash.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._written: dict[str, str] = {}
        """Mapping from file name to SHA-256 for files written before the run has a run.json."""

    def facts(self) -> dict[str, Any]:
        """Return run.json as a dict (see `runs/facts.py`). Raises FileRefused if it is missing or damaged."""
        raise NotImplementedError

    def _write_facts(self, facts: dict[str, Any]) -> None:
        raise NotImplementedError

    @property
    def has_begun(self) -> bool:
        return (self.path / FACTS).exists()

    def _write_file(self, name: str, data: bytes | Pieces) -> None:
        """Write a file into the run folder, whose SHA-256 run.json records.

        While it is replaced, run.json accepts the old and the new contents.
        """
        path = self.path / name
        if not self.has_begun:
            self._written[name] = storage.write_bytes(path, data)
            return
        with storage.staged(path, data) as staged:
            facts = self.facts()
            files, replacing = {**facts["files"]}, {**facts.get("replacing", {})}
            if name in replacing:
                with contextlib.suppress(FileRefused):
                    read_checked(path, {replacing[name]})
                    files[name] = replacing[name]  # a crash came between file and run.json
            replacing[name] = staged.sha256
            self._write_facts({**facts, "files": files, "replacing": replacing})
            storage.place(staged, path)
            storage.sync_folder(path.parent)
        del replacing[name]
        self._write_facts({**facts, "files": {**files, name: staged.sha256}, "replacing": replacing})

    def _read_file(self, name: str) -> bytes:
        """Return the contents of a file in the run folder. Raises FileRefused if its SHA-256 is not as recorded."""
        return read_checked(self.path / name, self._accepted(name))

    def _opened_file(self, name: str) -> BufferedReader:
        """Open a file in the run folder for reading. Raises FileRefused if its SHA-256 is not as recorded."""
        path, accepted = self.path / name, self._accepted(name)
        file = must_open(path)
        try:
            _check(path, hashlib.file_digest(file, "sha256").hexdigest(), accepted)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def _accepted(self, name: str) -> set[str]:
        """Return the SHA-256 that a file may have by run.json."""
        facts = self.facts()
        return {each[name] for each in (facts["files"], facts.get("replacing", {})) if name in each}

    def _read_folder(self, folder: str) -> Mapping[str, bytes]:
        """Return a mapping from file name to contents for a subfolder of the run. Raises FileRefused if one is new or
        missing."""
        recorded = {name.partition("/")[2] for name in self.facts()["files"] if name.startswith(f"{folder}/")}
        for name in sorted(set(self._names(folder)) - recorded):
            raise FileRefused(f"{quoted(self.path / folder / name)} is not a file that the run wrote")
        return {name: self._read_file(f"{folder}/{name}") for name in sorted(recorded)}


def read_checked(path: Path, accepted: set[str], limit_bytes: int | None = None) -> bytes:
    """Return the contents of a file. Raises FileRefused unless its SHA-256 is one of `accepted`."""
    data = must_read(path, limit_bytes)
    _check(path, hashlib.sha256(data).hexdigest(), accepted)
    return data


def _check(path: Path, digest: str, accepted: set[str]) -> None:
    if digest not in accepted:
        raise FileRefused(f"{quoted(path)} is damaged: its sha256 is not the one that run.json has")
