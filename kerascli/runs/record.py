"""A run folder, written and read: the only code that knows the names of the files in it.

runs/2026-11-24T22-17-58Z-mnist_mlp/
  config.yaml   resolved.yaml   run.json   history.csv   summary.txt   model.safetensors
  preprocessing/   plugins/   checkpoints/   plots/   logs/   profile/   samples/
"""

import contextlib
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kerascli import locks, storage
from kerascli.errors import ConfigError, FileRefused, StorageError
from kerascli.runs import history
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.facts import read_facts
from kerascli.runs.reading import quoted, read_bytes, read_text
from kerascli.storage import Pieces, pieces

Status = Literal["running", "completed", "stopped", "interrupted", "failed"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._-]{0,149}")
FOLDER = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)-(.+)", re.DOTALL)

_CONFIG, _RESOLVED, _FACTS = "config.yaml", "resolved.yaml", "run.json"
_HISTORY, _SUMMARY, _WEIGHTS = "history.csv", "summary.txt", "model.safetensors"
_PREPROCESSING, _PLUGINS, _CHECKPOINTS, _PLOTS, _LOGS = "preprocessing", "plugins", "checkpoints", "plots", "logs"
_PROFILE, _SAMPLES = "profile", "samples"
_FOLDERS = (_PREPROCESSING, _PLUGINS, _CHECKPOINTS, _PLOTS, _LOGS, _PROFILE, _SAMPLES)


class RunRecord:
    """One run. Made by `create` or `open`; whoever writes holds `locked()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.monotonic()
        self._seconds_before = 0.0

    @classmethod
    def create(cls, runs_dir: Path, name: str) -> "RunRecord":
        """A new folder named by the present time and `name`; two processes never get the same one."""
        check_name(name)
        storage.make_folder(runs_dir)
        storage.sweep(runs_dir)
        stem = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{name}"
        number = 1
        path = runs_dir / stem
        while not storage.new_folder(path):
            number += 1
            path = runs_dir / f"{stem}-{number}"
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunRecord":
        """An existing run; FileRefused when the folder is none."""
        if not is_run(path):
            raise FileRefused(f"{quoted(path)} is not a run: it has no {_FACTS}")
        return cls(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run while writing to it (refused when another process does), and clear up after killed ones."""
        with locks.lock(self.path):
            for folder in (self.path, *(self.path / name for name in _FOLDERS)):
                if folder.is_dir() and not folder.is_symlink():
                    storage.sweep(folder)
            yield

    # What the run is

    @property
    def folder_name(self) -> str:
        return self.path.name

    @property
    def name(self) -> str:
        """The part of the folder's name after the time."""
        found = FOLDER.fullmatch(self.path.name)
        return found[2] if found else self.path.name

    def facts(self) -> dict[str, Any]:
        """What run.json says, see `runs/facts.py`."""
        return read_facts(self.path / _FACTS)

    def status(self) -> Status | Literal["killed", "unknown"]:
        """As recorded; `killed` when it began and no process holds it any more, `unknown` when run.json is damaged."""
        said = "running"
        if (self.path / _FACTS).exists():
            try:
                said = self.facts().get("status")
            except FileRefused:
                return "unknown"
        if said == "running":
            return "running" if locks.locked(self.path) else "killed"
        return said if said in {"completed", "stopped", "interrupted", "failed"} else "unknown"

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.path / _CHECKPOINTS)

    # run.json

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Say that this process runs it. On resume the first start stays, and the seconds go on."""
        known = self.facts() if (self.path / _FACTS).exists() else {"name": self.name, "started": _now(), "resumed": []}
        if "pid" in known:
            known["resumed"] = [*known.get("resumed", []), _now()]
        self._began = time.monotonic()
        self._seconds_before = known.get("seconds", 0.0)
        own = {"status": "running", "reason": None, "ended": None, "pid": os.getpid(), "host": socket.gethostname()}
        self._write_facts({**known, **own, **facts})

    def note(self, **facts: Any) -> None:
        """Add facts to run.json, or replace them."""
        self._write_facts({**self.facts(), **facts})

    def finish(self, status: Status, *, reason: str | None = None, results: Mapping[str, Any] | None = None) -> None:
        """Say how it ended. `results`: split -> figure -> value."""
        self.note(status=status, reason=reason, ended=_now(), results=dict(results or {}))

    def _write_facts(self, facts: dict[str, Any]) -> None:
        facts["seconds"] = round(self._seconds_before + time.monotonic() - self._began, 3)
        storage.write_json(self.path / _FACTS, facts)

    # Files of text

    def write_config(self, text: str) -> None:
        storage.write_text(self.path / _CONFIG, text)

    def config(self) -> str:
        """The config as the user wrote it."""
        return read_text(self.path / _CONFIG)

    def write_resolved(self, text: str) -> None:
        storage.write_text(self.path / _RESOLVED, text)

    def resolved(self) -> str:
        """The complete config that was run."""
        return read_text(self.resolved_path)

    @property
    def resolved_path(self) -> Path:
        return self.path / _RESOLVED

    def write_summary(self, text: str) -> None:
        storage.write_text(self.path / _SUMMARY, text)

    def summary(self) -> str:
        return read_text(self.path / _SUMMARY)

    def write_history(self, rows: Sequence[history.Row]) -> None:
        """Rewrite history.csv whole: it is small, and never half a line."""
        storage.write_text(self.path / _HISTORY, history.to_csv(rows))

    def history(self) -> list[dict[str, int | float]]:
        """The rows of history.csv; none when no epoch has ended."""
        path = self.path / _HISTORY
        return history.read(path) if path.exists() else []

    def write_log(self, file: str, text: str) -> None:
        """Rewrite a file in logs/."""
        storage.write_text(self._inside(_LOGS, file), text)

    def log(self, file: str) -> str | None:
        """A file in logs/, or nothing when there is none."""
        path = self._inside(_LOGS, file, make=False)
        return read_text(path) if path.exists() else None

    def log_folder(self, folder: str) -> Path:
        """A folder in logs/ (`board/train`) for who writes files of its own; it exists."""
        path = self.path / _LOGS
        for name in folder.split("/"):
            if not FILE.fullmatch(name):
                raise StorageError(f"{quoted(folder)} cannot name a folder in {_LOGS}/")
            storage.make_folder(path)
            path /= name
        storage.make_folder(path)
        return path

    # Files of bytes

    def write_weights(self, data: bytes | Pieces) -> None:
        storage.write_bytes(self.path / _WEIGHTS, data)
        self.note(weights_sha256=pieces(data).sha256())

    def weights(self) -> bytes:
        """The final model.safetensors; FileRefused when the run has none, or not the one that it wrote."""
        path = self.path / _WEIGHTS
        data = self._bytes(path)
        if hashlib.sha256(data).hexdigest() != self.facts().get("weights_sha256"):
            raise FileRefused(f"{quoted(path)} is damaged: its sha256 is not the one that run.json has")
        return data

    def write_preprocessing(self, file: str, data: bytes) -> None:
        """Keep what a transform has learnt."""
        storage.write_bytes(self._inside(_PREPROCESSING, file), data)

    def preprocessing(self) -> dict[str, bytes]:
        """What the transforms have learnt, by file name."""
        return {name: self._bytes(self.path / _PREPROCESSING / name) for name in self._names(_PREPROCESSING)}

    def write_plugin(self, file: str, data: bytes) -> dict[str, str]:
        """Keep a copy of the user's code; returns what run.json should say of it."""
        storage.write_bytes(self._inside(_PLUGINS, file), data)
        return {"file": file, "sha256": hashlib.sha256(data).hexdigest()}

    def plugin_paths(self) -> list[Path]:
        """The copies of the user's code, in the order they were given; refused when one is not as it was written."""
        paths = []
        for said in self.facts().get("plugins", []):
            path = self._inside(_PLUGINS, said["file"], make=False)
            if hashlib.sha256(self._bytes(path)).hexdigest() != said["sha256"]:
                raise FileRefused(f"{quoted(path)} is not as the run recorded it: its sha256 differs")
            paths.append(path)
        return paths

    def plot_path(self, file: str) -> Path:
        """Where a plot of this run goes; its folder exists."""
        return self._inside(_PLOTS, file)

    def write_sample(self, file: str, data: bytes) -> Path:
        """Keep a picture or a text that a model has made; returns where it is."""
        path = self._inside(_SAMPLES, file)
        storage.write_bytes(path, data)
        return path

    def write_profile(self, files: Mapping[str, bytes]) -> list[Path]:
        """Keep the files of a profile, instead of those of an earlier one; returns where they are."""
        for name in self._names(_PROFILE):
            storage.remove_file(self.path / _PROFILE / name)
        paths = [self._inside(_PROFILE, name) for name in files]
        for path, data in zip(paths, files.values(), strict=True):
            storage.write_bytes(path, data)
        return paths

    def _inside(self, folder: str, file: str, *, make: bool = True) -> Path:
        if not FILE.fullmatch(file):
            raise StorageError(f"{quoted(file)} cannot name a file in {folder}/")
        if make:
            storage.make_folder(self.path / folder)
        return self.path / folder / file

    def _names(self, folder: str) -> list[str]:
        path = self.path / folder
        return sorted(entry.name for entry in path.iterdir() if FILE.fullmatch(entry.name)) if path.is_dir() else []

    def _bytes(self, path: Path) -> bytes:
        try:
            return read_bytes(path)
        except OSError as error:
            raise FileRefused(f"cannot read {quoted(path)}: {(error.strerror or str(error)).lower()}") from None


def check_name(name: str) -> None:
    """ConfigError unless `name` may be part of a run folder's name."""
    if not NAME.fullmatch(name):
        rule = "a name has 1 to 100 letters, digits, '.', '_' and '-', and begins with a letter or a digit"
        raise ConfigError(f"name: {quoted(name)} cannot name a run", hint=rule)


def is_run(path: Path) -> bool:
    """Whether a folder is a run: it has a run.json, or the name of a run that died before writing one."""
    return path.is_dir() and ((path / _FACTS).is_file() or FOLDER.fullmatch(path.name) is not None)


def run_around(file: Path) -> Path | None:
    """Return the run whose own file this would be; its plots and samples may be anybody's."""
    for folder in file.parents:
        named = FOLDER.fullmatch(folder.name) is not None
        if is_run(folder) and (named or (folder / _RESOLVED).is_file()):
            return None if file.relative_to(folder).parts[0] in {_PLOTS, _SAMPLES} else folder
    return None


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
