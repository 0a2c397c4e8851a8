"""Processes seen from the driver: one run from its start to its end, and one that stands still until it is its turn.

A new process counts what its parent held when it started: the driver imports nothing large.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from benchmarks.workloads import ROOT


class Died(Exception):
    """A process ended that should not have; the text is the last that it said."""


@dataclass(frozen=True, slots=True)
class Finished:
    seconds: float
    cpu_seconds: float
    """CPU time of the process in user and system mode, in seconds."""
    peak_mib: float
    stdout: str
    stderr: str


def run(command: Sequence[str], env: Mapping[str, str], folder: Path = ROOT) -> Finished:
    """Run it to its end, in a folder. Raises Died where its exit code is not 0."""
    with _text_file() as out, _text_file() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=said)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said.seek(0)
        stdout, stderr = out.read(), said.read()
    if process.returncode != 0:
        raise Died(last_line(stderr) or f"exit code {process.returncode}")
    return Finished(seconds, usage.ru_utime + usage.ru_stime, mebibytes(usage), stdout, stderr)


@dataclass(frozen=True, slots=True)
class Epoch:
    seconds: float
    loss: float


class Worker:
    """Starts at once; leaving the block ends it, whatever it does."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._said = _text_file()
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=env, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._said.close()

    def wait_ready(self) -> None:
        """Until all is imported. Raises Died."""
        self._answer()

    def epoch(self) -> Epoch:
        """Let it train one epoch. Raises Died."""
        self._order("go")
        return Epoch(**self._answer())

    def end(self) -> float:
        """Its peak memory in MiB; it is over then. Raises Died."""
        self._order("end")
        return self._answer()["peak_mib"]

    def said(self) -> str:
        """Its stderr so far; read by descriptor, for the process writes at the same offset."""
        return os.pread(self._said.fileno(), 2**24, 0).decode("utf-8", "replace")

    def _order(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{text}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._death()
        return json.loads(line)

    def _death(self) -> Died:
        code = self._process.wait()
        return Died(last_line(self.said()) or f"exit code {code}")


def last_line(text: str) -> str:
    """Of what a process said, hints aside: the reason stands above them."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith("hint:")), "")


def mebibytes(usage: resource.struct_rusage) -> float:
    """The most memory that was held (Linux counts in KiB, macOS in bytes)."""
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _text_file() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
