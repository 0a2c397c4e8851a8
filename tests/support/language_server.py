"""Client of npm's yaml-language-server: the requests of an editor, over stdin and stdout."""

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 120
"""Time-out for an answer that never comes; on a quiet machine one takes less than a second."""
_SETTINGS = {"yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}}
"""Settings that an editor sends when the server asks; the store would be fetched from the network."""


def find_server() -> str | None:
    """Return the server's command: of the environment, of PATH, or of this folder's node_modules."""
    if shutil.which("node") is None:
        return None
    named = os.environ.get("YAML_LANGUAGE_SERVER")
    local = _ROOT / "node_modules" / ".bin" / "yaml-language-server"
    return named or shutil.which("yaml-language-server") or (str(local) if local.exists() else None)


class Client:
    """An editor with files of one folder open."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._asked = 0
        threading.Thread(target=self._read, daemon=True).start()
        documents = {"completion": {}, "hover": {"contentFormat": ["plaintext"]}, "publishDiagnostics": {}}
        capabilities = {"textDocument": documents, "workspace": {"configuration": True}}
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities})
        self._send({"method": "initialized", "params": {}})

    def open(self, path: Path) -> list[dict[str, Any]]:
        """Open a file; return its diagnostics."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": path.read_text(encoding="utf-8")}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while True:
            message = self._next()
            told = message.get("method") == "textDocument/publishDiagnostics"
            if told and message["params"]["uri"] == path.as_uri():
                return message["params"]["diagnostics"]

    def at(self, method: str, path: Path, mark: str, *, after: bool = False) -> Any:
        """Ask about the place in a file where `mark` begins, or ends."""
        before = path.read_text(encoding="utf-8").partition(mark)[0] + (mark if after else "")
        position = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        return self.ask(f"textDocument/{method}", {"textDocument": {"uri": path.as_uri()}, "position": position})

    def ask(self, method: str, params: Any) -> Any:
        """Send a request; return its result."""
        self._asked += 1
        number = self._asked
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _next(self) -> dict[str, Any]:
        """Return the next message; requests of the server to the editor are answered."""
        message = self._messages.get(timeout=_PATIENCE_SECONDS)
        assert message is not None, f"the server has ended: {self._process.poll()}"
        if "method" in message and "id" in message:
            items = message.get("params", {}).get("items", [])
            result = [_SETTINGS.get(item.get("section"), {}) for item in items] if items else None
            self._send({"id": message["id"], "result": result})
        return message

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while line := stream.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
                while stream.readline().strip():  # the other headers, and the empty line after them
                    pass
                self._messages.put(json.loads(stream.read(length)))
        self._messages.put(None)


@contextmanager
def editor(server: str, folder: Path) -> Iterator[Client]:
    """Run a server for a folder."""
    process = subprocess.Popen([server, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Client(process, folder)
    finally:
        process.kill()
        process.communicate()
