"""Servers of buckets on the loopback: moto's for S3, a small one for Google Cloud Storage, and a proxy that breaks."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, quote, unquote, urlsplit

MOTO = shutil.which("moto_server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def s3_server() -> Iterator[str]:
    """Context manager that runs a server of S3, and gives its address."""
    port = free_port()
    assert MOTO is not None
    process = subprocess.Popen(
        [MOTO, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
                break
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def empty_bucket(url: str) -> None:
    """Make the empty bucket `bucket` the only one of a server of S3."""
    _ask(f"{url}/moto-api/reset", "POST", b"")
    _ask(f"{url}/bucket", "PUT", b"")


def upload(url: str, source: Path | bytes, key: str) -> None:
    """Put a file's bytes, or all files of a folder, into the bucket."""
    if isinstance(source, bytes):
        _ask(f"{url}/bucket/{quote(key)}", "PUT", source)
        return
    for path in source.rglob("*"):
        if path.is_file():
            upload(url, path.read_bytes(), f"{key}/{path.relative_to(source).as_posix()}")


def _ask(url: str, method: str, data: bytes) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60):
        pass


class Proxy:
    """Passes connections on to a server, and cuts all of them after `left` bytes of its answers."""

    def __init__(self, url: str, left: int) -> None:
        self._to = (urlsplit(url).hostname, urlsplit(url).port)
        self.left = left
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.left <= 0:
                    client.close()
                    continue
                server = socket.create_connection(self._to)
                Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError), source, target:
            while self.left > 0 and (data := source.recv(2**14)):
                target.sendall(data)
                self.left -= len(data) if counts else 0


class GoogleServer:
    """A server of Google Cloud Storage with one bucket, that answers what pyarrow asks to list and read `files`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(address.query).items()}
                _, _, key = address.path.partition("/b/bucket/o/")
                if not key:
                    items = [_facts(name, files) for name in sorted(files) if name.startswith(query.get("prefix", ""))]
                    data = json.dumps({"kind": "storage#objects", "items": items}).encode()
                elif unquote(key) not in files:
                    self.send_error(404)
                    return
                else:
                    is_read = query.get("alt") == "media"
                    data = files[unquote(key)] if is_read else json.dumps(_facts(unquote(key), files)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def _facts(name: str, files: dict[str, bytes]) -> dict[str, str]:
    changed = "2026-01-02T03:04:05.678Z"
    return {"kind": "storage#object", "name": name, "bucket": "bucket", "size": str(len(files[name])),
            "generation": "1", "updated": changed, "timeCreated": changed}  # fmt: skip
