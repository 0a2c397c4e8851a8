"""Write and read a run folder (config, run.json, history.csv, weights ...); only this code knows its file names.

runs/2026-11-24T22-17-58Z-mnist_mlp/
  config.yaml   resolved.yaml   run.json   history.csv   summary.txt   model.safetensors   threshold.json   sent.json
  preprocessing/   plugins/   checkpoints/   plots/   logs/   profile/   samples/   evaluations/
"""

import contextlib
import os
import re
import shlex
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from io import BufferedReader
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from kerascli.foundation.disk import locks, storage
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import ConfigError, FileRefused, KerasCliError
from kerascli.foundation.user_code import UserCode
from kerascli.runs import history
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.checksums import VerifiedFiles, read_checked, sealed
from kerascli.runs.facts import FORMAT, Start, new_start, read_facts
from kerascli.runs.history import HistoryWriter, Prefix, Row
from kerascli.runs.outputs import CHECKPOINTS, EVALUATIONS, FACTS, LOGS, PLOTS, PROFILE, SAMPLES, WEIGHTS
from kerascli.runs.reading import decoded, quoted

Status = Literal["running", "completed", "stopped", "interrupted", "failed"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FOLDER = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)-(.+?)(?:~\d+)?", re.DOTALL)
"""Name of a run folder: time and name of the run, and `~2` for the second run of a name within a second."""

STUDY, MEMBERS = "study.yaml", "trials"
"""Names in a study's folder: the file of its settings, and the folder of its members."""

_CONFIG, _RESOLVED = "config.yaml", "resolved.yaml"
_HISTORY, _SUMMARY, _DIAGRAM = "history.csv", "summary.txt", "diagram.json"
_PREPROCESSING, _PLUGINS = "preprocessing", "plugins"
_FOLDERS = (_PREPROCESSING, _PLUGINS, CHECKPOINTS, PLOTS, LOGS, PROFILE, SAMPLES, EVALUATIONS)


class RunRecord(VerifiedFiles):
    """Folder of one run, with methods to read and write its files; writing requires the lock of `locked()`.

    The files known at the start are written first, run.json last: with it the run has begun, and can be resumed after
    any crash.
    """

    archive: Path | None = None  # zip file that the folder is a temporary copy of; nothing is written into it

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._began = time.monotonic()
        self._seconds_before = 0.0
        self._start: Start | None = None
        self._history: HistoryWriter | None = None
        self._facts_read: tuple[object, dict[str, Any]] = None, {}

    @classmethod
    def create(cls, runs_dir: Path, name: str) -> "RunRecord":
        """Create a new run folder, named by the present time and `name`; no two runs get the same folder."""
        check_name(name)
        make_runs_dir(runs_dir)
        storage.sweep(runs_dir)
        path, start = new_start(runs_dir, partial(new_dated_folder, runs_dir, name))
        record = cls(path)
        record._start = start
        return record

    @classmethod
    def open(cls, path: Path) -> "RunRecord":
        """Open an existing run folder; return a RunRecord, which reads and writes its files. Raises FileRefused if the
        folder is not a run's."""
        if not is_run(path):
            raise FileRefused(f"{quoted(path)} is not a run: it has no {FACTS}")
        return cls(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Context manager that holds a run's lock, needed for writing; it also removes temporary files that a
        killed process left.

        Raises StorageError if another process holds the lock.
        """
        with locks.lock(self.path):
            for folder in (self.path, *(self.path / name for name in _FOLDERS)):
                if folder.is_dir() and not folder.is_symlink():
                    storage.sweep(folder)
            yield

    # Identity and status

    @property
    def folder_name(self) -> str:
        return self.path.name

    @property
    def name(self) -> str:
        """Name of the run: the part after the time in the name of its folder, without `~2`."""
        match = FOLDER.fullmatch(self.path.name)
        return match[2] if match else self.path.name

    @property
    def is_member(self) -> bool:
        """True if this is a run of a study."""
        return self.path.parent.name == MEMBERS and is_study(self.path.parent.parent)

    def facts(self) -> dict[str, Any]:
        path = self.path / FACTS
        try:
            status = os.stat(path)
        except OSError:
            if any((self.path / name).exists() for name in (CHECKPOINTS, _HISTORY, WEIGHTS)):
                return read_facts(path)  # raises
            text = f"the run {quoted(self.path)} ended before training began: it has no {FACTS}"
            raise FileRefused(text, hint="start it again: kerascli train CONFIG") from None
        state = status.st_mtime_ns, status.st_size, status.st_ino
        if self._facts_read[0] != state:
            self._facts_read = state, read_facts(path)
        return {**self._facts_read[1]}

    def status(self) -> Status | Literal["killed", "unknown"]:
        """Return the status in run.json: `killed` if it is `running` but no process runs the run, `unknown` if it is
        damaged."""
        try:
            status = self.facts().get("status") if self.has_begun else "running"
        except FileRefused:
            return "unknown"
        if status == "running":
            return "running" if locks.locked(self.path) else "killed"
        return status if status in {"completed", "stopped", "interrupted", "failed"} else "unknown"

    @property
    def was_cut_off(self) -> bool:
        """True if the training was interrupted, killed or failed before its end, and left a checkpoint."""
        status = self.status()
        failed = status == "failed" and not (self.path / WEIGHTS).exists()
        return (failed or status in {"killed", "interrupted"}) and bool(self.checkpoints.steps())

    @cached_property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.path / CHECKPOINTS)

    # run.json

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Record in run.json that this process starts or resumes the training run.

        On resume the time of the first start is kept, and the seconds add up: of a killed run those of its epochs.
        """
        first = {"format": FORMAT, "name": self.name, "folder_name": self.folder_name, "started": _now()}
        first |= {} if self._start is None else {"start": self._start.model_dump()}
        recorded = self.facts() if self.has_begun else {**first, "resumed": [], "files": self._written}
        if "pid" in recorded:
            recorded["resumed"] = [*recorded.get("resumed", []), _now()]
        recorded.pop("history", None)  # it is cut and appended to; its digest is in checkpoints
        self._began = time.monotonic()
        self._seconds_before = recorded.get("seconds", 0.0)
        with contextlib.suppress(FileRefused):  # there is none yet
            epochs = (row.get("epoch_seconds", 0.0) for row in self.history())
            self._seconds_before = max(self._seconds_before, sum(epochs))
        own = {"status": "running", "reason": None, "ended": None, "pid": os.getpid(), "host": socket.gethostname()}
        self._write_facts({**recorded, **own, **facts})

    def note(self, **facts: Any) -> None:
        """Add entries to run.json; they replace existing ones of the same name."""
        self._write_facts({**self.facts(), **facts})

    def finish(self, status: Status, *, reason: str | None = None, results: Mapping[str, Any] | None = None) -> None:
        """Record in run.json how the training run ended. `results` maps each split to a mapping from loss or metric to
        value."""
        rows = {} if self._history is None else {"history": self._history.synced_prefix().model_dump()}
        self.note(**ended(status, reason=reason, results=results), **rows)

    def finish_for_another(self, reason: str) -> None:
        """Record that the run failed, unless the process that runs it is alive, or has recorded how it ended."""
        with contextlib.suppress(KerasCliError), self.locked():
            facts = self.facts()
            if facts["status"] == "running":
                self._seconds_before = facts["seconds"]
                self.finish("failed", reason=reason)

    def _write_facts(self, facts: dict[str, Any]) -> None:
        facts["seconds"] = round(self._seconds_before + time.monotonic() - self._began, 3)
        storage.write_bytes(self.path / FACTS, sealed(facts))
        self._facts_read = None, {}

    # history.csv

    def open_history(self, names: Sequence[str], prefix: Prefix) -> None:
        """Return the writer of history.csv. Raises FileRefused unless the file begins with the recorded rows."""
        self._history = HistoryWriter(self.path / _HISTORY, names, prefix)

    @property
    def history_writer(self) -> HistoryWriter:
        assert self._history is not None, "open_history comes first"
        return self._history

    def history(self) -> list[dict[str, int | float]]:
        """Return the rows of history.csv as mappings from column to number; [] if no epoch has ended."""
        return history.parse(self._history_data(), self.path / _HISTORY)

    def epochs(self, monitor: str, way: str) -> tuple[int, Row, Row]:
        """Return the number of epochs in history.csv, the row of the best one by a metric, and that of the last."""
        return history.outline(self._history_data(), self.path / _HISTORY, monitor, way)

    def _history_data(self) -> bytes:
        path, whole = self.path / _HISTORY, self.facts().get("history")
        recorded = self.checkpoints.newest_facts().get("history", {}) if whole is None else whole
        try:
            prefix = Prefix.model_validate(recorded)
        except ValidationError:
            raise FileRefused(f"the newest checkpoint of {quoted(self.path)} has no record of {_HISTORY}") from None
        if prefix.size == 0 and not path.exists():
            return b""
        data = prefix.check(path)
        if whole is not None and b"\n" in data[prefix.size :]:
            raise FileRefused(f"{quoted(path)} is damaged: it has rows that the run did not write")
        return data

    # Files that results depend on

    def write_config(self, text: str) -> None:
        self._write_text(_CONFIG, text)

    def config(self) -> str:
        """Return the text of the run's config as the user wrote it."""
        return self._read_text(_CONFIG)

    def write_resolved(self, text: str) -> None:
        self._write_text(_RESOLVED, text)

    def resolved(self) -> str:
        """Return the text of resolved.yaml: the run's config with all defaults filled in."""
        return self._read_text(_RESOLVED)

    @property
    def resolved_path(self) -> Path:
        """Path of resolved.yaml: the run's config with all defaults filled in."""
        return self.path / _RESOLVED

    def write_summary(self, text: str) -> None:
        self._write_text(_SUMMARY, text)

    def summary(self) -> str:
        return self._read_text(_SUMMARY)

    def write_diagram(self, text: str) -> None:
        self._write_text(_DIAGRAM, text)

    def diagram(self) -> str | None:
        """Return the text of diagram.json: the model's diagram; None for runs of earlier versions, which have none."""
        return self._read_text(_DIAGRAM) if _DIAGRAM in self.facts()["files"] else None

    def write_weights(self, data: bytes | Pieces) -> None:
        self._write_file(WEIGHTS, data)

    def weights_file(self) -> BufferedReader:
        """Return model.safetensors, the run's final weights, open for reading.

        Raises FileRefused if it is missing or not the one that the run wrote.
        """
        self._refuse_removed_weights()
        return self._opened_file(WEIGHTS)

    def weights(self) -> bytes:
        """Return the contents of model.safetensors, the run's final weights. Raises FileRefused as `weights_file`."""
        self._refuse_removed_weights()
        return self._read_file(WEIGHTS)

    def _refuse_removed_weights(self) -> None:
        """Raise FileRefused if this is a run of a study whose weights were not kept, an archive of such a run, or a run
        that has not ended."""
        if self.was_cut_off and not (self.path / WEIGHTS).exists():
            hint = f"its training goes on: kerascli train --resume {shlex.quote(str(self.path))}"
            raise FileRefused(f"{quoted(self.path)} has no final weights: it is {self.status()}", hint=hint)
        if (self.is_member or self.archive) and not (self.path / WEIGHTS).exists():
            text = f"{quoted(self.archive or self.path)} has no weights: a study keeps those of its best trial"
            hint = f"kerascli train --resume {shlex.quote(str(self.path))} trains it again" if self.is_member else None
            raise FileRefused(text, hint=hint)

    def write_preprocessing(self, file: str, data: bytes) -> None:
        """Write the fitted state of a preprocessing transform (a vocabulary, means ...) to a file in the run's
        preprocessing/."""
        self._inside(_PREPROCESSING, file)
        self._write_file(f"{_PREPROCESSING}/{file}", data)

    def preprocessing(self) -> Mapping[str, bytes]:
        """Return a mapping from file name to contents for the run's preprocessing/. Raises FileRefused if a file was
        changed."""
        return self._read_folder(_PREPROCESSING)

    def learned(self) -> str | None:
        """Return the text of preprocessing/preprocessing.json: what the transforms learned; None if there is none."""
        name = f"{_PREPROCESSING}/preprocessing.json"
        return self._read_text(name) if name in self.facts()["files"] else None

    def write_plugin(self, code: UserCode) -> dict[str, str]:
        """Copy a plugin (custom Python code) into the run folder; return its file name and SHA-256 as a dict."""
        name = code.path.name
        return {"file": name, "sha256": storage.write_bytes(self._inside(_PLUGINS, name), code.source)}

    def plugins(self) -> list[UserCode]:
        """Return the run's copies of plugins (custom Python code), in the order of the config."""
        plugins = []
        for entry in self.facts().get("plugins", []):
            path = self._inside(_PLUGINS, entry["file"], make=False)
            plugins.append(UserCode(path, read_checked(path, {entry["sha256"]})))
        return plugins

    def _write_text(self, name: str, text: str) -> None:
        self._write_file(name, storage.text_bytes(text))

    def _read_text(self, name: str) -> str:
        return decoded(self._read_file(name), self.path / name)


def ended(status: str, *, reason: str | None = None, results: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the entries of run.json that record the end of a run (status, reason, time, results) as a dict."""
    return {"status": status, "reason": reason, "ended": _now(), "results": dict(results or {})}


def check_name(name: str) -> None:
    """Raise ConfigError unless `name` is valid as the name of a run, which becomes part of its folder's name."""
    if not NAME.fullmatch(name):
        rule = "a name has 1 to 100 letters, digits, '.', '_' and '-', and begins with a letter or a digit"
        raise ConfigError(f"name: {quoted(name)} cannot name a run", hint=rule)


def make_runs_dir(runs_dir: Path) -> None:
    """Create the folder of the runs, unless it exists. Raises ConfigError inside a run or a study, with which it would
    be removed."""
    inside = Path(os.path.realpath(runs_dir)) / "run"
    if (around := run_around(inside) or next(filter(is_study, inside.parents), None)) is not None:
        kind, hint = "study" if is_study(around) else "run", f"write outside of '{around.name}': --runs-dir FOLDER"
        raise ConfigError(f"{quoted(runs_dir)} is inside a {kind}, where no other files are written", hint=hint)
    storage.make_folder(runs_dir)


def new_dated_folder(runs_dir: Path, name: str) -> Path:
    """Create a folder named by the present time and `name`, with `~2` after it if that exists, and return its path."""
    stem = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{name}"
    names = chain([stem], (f"{stem}~{number}" for number in count(2)))
    return next(path for path in map(runs_dir.joinpath, names) if storage.new_folder(path))


def is_run(path: Path) -> bool:
    """Return True if a folder is a run's: it has a run.json, or the name of a run's folder and no study.yaml."""
    named = FOLDER.fullmatch(path.name) is not None
    return path.is_dir() and ((named and not is_study(path)) or (path / FACTS).is_file())


def is_study(path: Path) -> bool:
    """Return True if a folder is that of a study, whose members are run folders."""
    return (path / STUDY).is_file()


def run_around(file: Path) -> Path | None:
    """Return the run folder in which the path `file` is, existing or not; None outside of runs and in a run's plots/ or
    samples/."""
    for folder in file.parents:
        named = FOLDER.fullmatch(folder.name) is not None
        if is_run(folder) and (named or (folder / _RESOLVED).is_file()):
            return None if file.relative_to(folder).parts[0] in {PLOTS, SAMPLES} else folder
    return None


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
