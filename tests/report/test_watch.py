"""The server of the pages: what it answers, whom it refuses, and how soon a browser hears of an epoch."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from kerascli.foundation.disk import locks
from kerascli.foundation.errors import StorageError
from kerascli.report.page.server import Server, Watched
from kerascli.runs.record import RunRecord
from tests.support.kept_runs import KEPT
from tests.support.runs_harness import edit_facts


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    [folder] = (KEPT / "format_2" / "runs").glob("*table")
    return RunRecord(Path(shutil.copytree(folder, tmp_path / "runs" / folder.name)))


@pytest.fixture
def server(run: RunRecord) -> Iterator[Server]:
    made = Server(Watched(run.path.parent))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@dataclass
class Answer:
    status: int
    text: str
    headers: http.client.HTTPMessage


def answer(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(), response.headers)


def test_the_list_links_to_the_page_of_each_run(server: Server, run: RunRecord) -> None:
    found = answer(server, server.address())
    assert found.status == 200
    link = server.address(run.folder_name)
    assert f'href="{link}"' in found.text
    page = answer(server, link)
    assert page.status == 200
    assert run.summary().splitlines()[1] in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"


def test_only_the_run_that_is_watched_is_served(run: RunRecord) -> None:
    other = shutil.copytree(run.path, run.path.with_name("2027-01-01T00-00-00Z-other"))
    server = Server(Watched(run.path.parent, run))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert answer(server, server.address(run.folder_name)).status == 200
    assert answer(server, server.address(other.name)).status == 404
    assert answer(server, server.address()).status == 404
    server.shutdown()
    server.server_close()


def test_whoever_has_no_business_here_is_refused(server: Server, run: RunRecord, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "run.json").write_text("secret", encoding="utf-8")
    os.symlink(secret, run.path.parent / "2027-01-01T00-00-00Z-link")
    token, good = f"?token={server.token}", server.address(run.folder_name)
    hosts = ["evil.com", "127.0.0.1.evil.com", "evil.com:80", "[::1]", "0.0.0.0", ""]
    paths = [
        "/", f"/runs/{run.folder_name}", f"{good[:-1]}", f"{good}x", "/?token=", "/?token=%00", f"//x{token}",
        f"/../{token}", f"/runs/../{token}", f"/runs/..{token}", f"/runs/%2e%2e%2fsecret{token}", f"/runs/{token}",
        f"/runs/secret{token}", f"/runs/2027-01-01T00-00-00Z-link{token}", f"/runs/{run.folder_name}/run.json{token}",
        f"/runs/{run.folder_name}%00{token}", f"/run.json{token}", f"/events{token}", f"/events/runs/no{token}",
        f"/events/runs/{run.folder_name}", f"/favicon.ico{token}", f"/{'x' * 10_000}{token}", "*", "http://evil.com/",
        f"/..%2f..%2fetc/passwd{token}", f"/runs/%2fetc%2fpasswd{token}", f"/runs/.{token}", f"/runs/%2e{token}",
        f"/runs/~{token}", f"/assets/page.js{token}", f"/runs/{run.folder_name}%0d%0aX:%20y{token}", f"/%ff{token}",
        f"/runs/%ff{token}", f"/events/../runs{token}",
    ]  # fmt: skip
    methods = ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND", "\u0047ET2"]
    statuses = [answer(server, good, Host=host).status for host in hosts]
    statuses += [answer(server, path).status for path in paths]
    statuses += [answer(server, good, method).status for method in methods]
    asked = [*hosts, *paths, *methods]
    assert len(asked) == 50
    assert [word for word, status in zip(asked, statuses, strict=True) if status not in {400, 403, 404, 405, 414}] == []
    assert answer(server, good).status == 200  # it still answers
    assert answer(server, good, Host="localhost:9999").status == 200  # through a tunnel


def test_a_connection_that_asks_nothing_ends_by_itself(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as idle:
        assert idle.recv(1) == b""


def test_an_epoch_is_heard_of_within_a_second(server: Server, run: RunRecord) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as connection:
        connection.request("GET", server.events(run.folder_name))
        stream = connection.getresponse()
        time.sleep(0.7)  # the server has looked once
        started = time.monotonic()
        with (run.path / "history.csv").open("a", encoding="utf-8") as file:
            file.write("5,0.1,0.1,0.1,0.1\n")
        assert stream.readline() == b"data: changed\n"
        assert time.monotonic() - started < 1.5  # half a second between looks, and a loaded machine
        stream.close()


def test_a_run_that_was_removed_is_not_found(server: Server, run: RunRecord) -> None:
    shutil.rmtree(run.path)
    assert answer(server, server.address(run.folder_name)).status == 404


def test_a_damaged_run_is_asked_for_again(server: Server, run: RunRecord) -> None:
    (run.path / "run.json").write_text("{", encoding="utf-8")
    assert answer(server, server.address(run.folder_name)).status == 503
    assert answer(server, server.address()).status == 200


def test_the_list_is_read_anew_where_it_changed(server: Server, run: RunRecord) -> None:
    before = answer(server, server.address()).text
    edit_facts(run.path, status="failed")
    after = answer(server, server.address()).text
    assert ">failed<" in after
    assert ">failed<" not in before


def test_a_port_in_use_is_an_error_or_the_next_one(server: Server, run: RunRecord) -> None:
    with pytest.raises(StorageError, match="in use"):
        Server(Watched(run.path.parent), server.server_port)
    other = Server(Watched(run.path.parent))
    assert other.server_port != server.server_port
    other.server_close()


def test_a_run_that_was_killed_is_heard_of(server: Server, run: RunRecord) -> None:
    edit_facts(run.path, status="running")
    with locks.lock(run.path):
        changes, listed = server.watched.changes(run.folder_name), server.watched.changes(None)
        assert [next(changes), next(changes), next(listed), next(listed)] == [False] * 4
        assert [line.status for line in server.watched.lines()] == ["running"]
    assert next(changes)
    assert next(listed)
    assert [line.status for line in server.watched.lines()] == ["killed"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_ctrl_c_is_its_usual_end(run: RunRecord, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "kerascli", "watch", str(run.path.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "Ctrl-C ends it\n"
        time.sleep(0.5)  # it serves
        process.send_signal(number)
        assert process.wait(30) == code
        assert process.stdout.readline().startswith("http://127.0.0.1:")
