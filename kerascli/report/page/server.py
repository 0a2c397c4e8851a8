"""Serve the pages of runs to browsers of this machine, and tell them when a run changes.

Only GET of known addresses is answered, with the token that the printed address holds; files are read, never written.
"""

import contextlib
import gc
import hmac
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from kerascli.foundation.errors import KerasCliError, StorageError
from kerascli.foundation.interrupts import Signalled, count_as_handled
from kerascli.report.page.run_page import RunPage
from kerascli.report.page.runs_page import list_html
from kerascli.report.page.study_page import study_html
from kerascli.report.tables import RunLine
from kerascli.runs.index import list_runs
from kerascli.runs.record import RunRecord, is_run, is_study
from kerascli.studies.folder import Study

_HOSTS = {"localhost", "127.0.0.1"}
_PORTS = range(8765, 8865)
_RUN_SECONDS, _LIST_SECONDS, _ALIVE_SECONDS = 0.5, 2.0, 15.0
"""Intervals: between looks at a run that is watched, at the list of runs, and between signs of life to a browser."""
_IDLE_SECONDS = 30.0
"""Time after which an idle connection, which has a thread, is closed."""
_AGAIN = b'<!DOCTYPE html><meta http-equiv="refresh" content="1"><title>A moment</title>'
"""Page that is loaded again after a second."""


@dataclass
class Watched:
    """Runs of a folder that are watched, or one run of it; of the trials of a study its page takes the place of the
    list."""

    runs_dir: Path
    only: RunRecord | None = None
    _lines: dict[str, tuple[object, RunLine]] = field(default_factory=dict)

    def run(self, name: str) -> RunRecord | None:
        """Return the run of a folder name; None unless it is one of those watched."""
        if self.only is not None:
            return self.only if name == self.only.folder_name and is_run(self.only.path) else None
        path = self.runs_dir / name
        is_name = name not in {".", ".."} and not {"/", "\0"} & set(name)
        return RunRecord(path) if is_name and not path.is_symlink() and is_run(path) else None

    def lines(self) -> list[RunLine]:
        """Return the lines of the list of runs; only runs that are trained, or whose files have changed, are read."""
        runs = {run.folder_name: (run, state(run.path)) for run in list_runs(self.runs_dir)}
        for name, (run, now) in runs.items():
            before, line = self._lines.get(name, (None, None))
            if line is None or before != now or line.status == "running":  # one that was killed changes no file
                self._lines[name] = now, RunLine.of(run)
        return [self._lines[name][1] for name in runs]

    def changes(self, name: str | None) -> Iterator[bool]:
        """Yield True when a run (None: the list) has changed since the last value, else False, at intervals."""
        before: object = None
        while True:
            if name is None:
                now: list[object] = [state(Path(each)) for each in os.scandir(self.runs_dir)]
                now += [line.status for line in self.lines()]
            else:
                path = self.runs_dir / name
                now = [*state(path), RunRecord(path).status() if is_run(path) else None]
            yield before is not None and now != before
            before = now
            time.sleep(_LIST_SECONDS if name is None else _RUN_SECONDS)


def state(run: Path) -> list[object]:
    """Return what changes with the files of a run's folder that its page shows, without reading them."""
    seen: list[object] = [run.name]
    for name in ("run.json", "history.csv", "tags.json", "samples", "evaluations"):
        with contextlib.suppress(OSError):
            status = os.stat(f"{run}/{name}")
            seen += [status.st_mtime_ns, status.st_size, status.st_ino]
    return seen


class Server(ThreadingHTTPServer):
    """Server of the pages on the loopback interface."""

    daemon_threads = True

    def __init__(self, watched: Watched, port: int | None = None) -> None:
        """Listen at a port, by default the first free one of a hundred. Raises StorageError if none is free."""
        self.watched = watched
        self.token = secrets.token_urlsafe(16)
        for number in _PORTS if port is None else [port]:
            with contextlib.suppress(OSError):
                super().__init__(("127.0.0.1", number), _Handler)
                return
        raise StorageError(f"cannot listen at port {port or _PORTS}: it is in use", hint="--port N names another")

    def handle_error(self, request: object, client_address: object) -> None:
        """Report an error of ours on stderr, but not that a browser has gone before it had its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # pyright: ignore[reportArgumentType]

    def address(self, run: str | None = None) -> str:
        """Return the path and query of the page of a run, or of the list of runs."""
        return f"{'/' if run is None else f'/runs/{quote(run)}'}?token={self.token}"

    def events(self, run: str | None) -> str:
        """Return the path and query of the events of a page."""
        return f"/events{self.address(run)}"

    @property
    def url(self) -> str:
        """Address to open in a browser."""
        only = self.watched.only
        return f"http://127.0.0.1:{self.server_port}{self.address(only and only.folder_name)}"


class _Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version = sys_version = ""
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        token = (parse_qs(parts.query).get("token") or [""])[0]
        if host not in _HOSTS:
            return self._answer(403)
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return self._answer(404)
        is_stream = parts.path.startswith("/events/")
        path = parts.path.removeprefix("/events") if is_stream else parts.path
        name = unquote(path.removeprefix("/runs/")) if path.startswith("/runs/") else None
        run = None if name is None else self.server.watched.run(name)
        if run is None and (path != "/" or self.server.watched.only is not None):
            return self._answer(404)
        return self._stream(name) if is_stream else self._page(run)

    def _page(self, run: RunRecord | None) -> None:
        server = self.server
        try:
            if run is not None:
                home = None if server.watched.only is not None else server.address()
                text = RunPage(run).html(server.events(run.folder_name), home)
            elif is_study(study := server.watched.runs_dir.parent):
                text = study_html(Study(study), server.address, server.events(None))
            else:
                text = list_html(server.watched.lines(), server.address, server.events(None))
        except (KerasCliError, OSError):  # its files are being written or removed: the browser asks again
            return self._answer(503, _AGAIN)
        return self._answer(200, text.encode())

    def _stream(self, name: str | None) -> None:
        """Send an event for each change until the browser has gone."""
        with contextlib.suppress(OSError):
            self._head(200, {"Content-Type": "text/event-stream", "Connection": "close"})
            last = time.monotonic()
            for has_changed in self.server.watched.changes(name):
                if has_changed or time.monotonic() - last > _ALIVE_SECONDS:
                    self.wfile.write(b"data: changed\n\n" if has_changed else b": alive\n\n")
                    self.wfile.flush()
                    last = time.monotonic()
        self.close_connection = True

    def _answer(self, status: int, body: bytes = b"") -> None:
        self._head(status, {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        always = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
        for name, value in (headers | always).items():
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is not understood, or is not GET, without a word of it."""
        self.close_connection = True
        self._answer(405 if code == 501 else code)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the address holds the token."""


def serve(server: Server) -> None:
    """Serve until Ctrl-C, which is the usual end; another signal is raised as Signalled."""
    gc.enable()
    try:
        server.serve_forever()
    except Signalled as signalled:
        if signalled.code != 128 + signal.SIGINT:
            raise
        count_as_handled()
    finally:
        server.server_close()
