"""MLflow's servers for tests: the real one on SQLite, where it is installed, and a small one that can fail."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.buckets import free_port

MLFLOW = shutil.which("mlflow", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
_QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Context manager that runs a server of MLflow on SQLite, with its files in a folder, and gives its address."""
    assert MLFLOW is not None
    port, path = free_port(), f"{Path(MLFLOW).parent}{os.pathsep}{os.environ['PATH']}"
    command = [MLFLOW, "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination",
               str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, "PATH": path}, cwd=folder, start_new_session=True, **_QUIET)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
                break
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, 9)
        process.wait()


_READ = """
import json, mlflow
client = mlflow.MlflowClient()
runs = []
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id]):
        history = {key: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, key)]
                   for key in run.data.metrics}
        files = {}
        for entry in client.list_artifacts(run.info.run_id):
            if not entry.is_dir:
                path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=entry.path)
                files[entry.path] = open(path, errors="replace").read()
        runs.append({"experiment": experiment.name, "name": run.info.run_name, "status": run.info.status,
                     "start": run.info.start_time, "end": run.info.end_time, "params": run.data.params,
                     "tags": run.data.tags, "history": history, "files": files})
print("runs:" + json.dumps(runs))
"""


def runs_by_client(url: str) -> list[dict[str, Any]]:
    """Return all runs of a server of MLflow as its own client reads them."""
    assert MLFLOW is not None
    python = Path(MLFLOW).parent / "python"
    done = subprocess.run(
        [python, "-c", _READ],
        env={**os.environ, "MLFLOW_TRACKING_URI": url},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.partition("runs:")[2])


class FakeServer:
    """Server with the part of MLflow's REST interface that is used; it checks MLflow's limits, and fails on demand."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.experiments: list[str] = []
        self.requests: list[tuple[str, Any, str]] = []
        """(Path, body, Authorization) of each request."""
        self.seconds = 0.0
        self.failures: list[tuple[int, str] | None] = []
        """Answers (HTTP status, contents) that take the place of the next ones; None: the ordinary one."""
        self.always: tuple[int, str] | None = None
        self.redirects_to = ""
        """Address of another server, to which all requests are redirected."""
        self.artifact_uri = "mlflow-artifacts:/0/run/artifacts"
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                address, authorization = urlsplit(self.path), self.headers.get("Authorization", "")
                body: Any = {name: each[0] for name, each in parse_qs(address.query).items()}
                body = json.loads(data) if self.command == "POST" else body or data
                server.requests.append((address.path, body, authorization))
                time.sleep(server.seconds)
                failure = (server.failures.pop(0) if server.failures else None) or server.always
                if failure is None:
                    answer = server.answer(address.path.partition("/mlflow/")[2], body)
                    failure = (404, json.dumps({"message": "no such thing"})) if answer is None else (200, answer)
                with suppress(OSError):
                    text = failure[1].replace("AUTHORIZATION", authorization).encode()
                    self.send_response(302 if server.redirects_to else failure[0])
                    if server.redirects_to:
                        self.send_header("Location", f"{server.redirects_to}{self.path}")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            do_GET = do_POST = do_PUT = _handle

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, endpoint: str, body: Any) -> str | None:
        run = self.runs.get(body.get("run_id", "")) if isinstance(body, dict) else None
        match endpoint:
            case "experiments/get-by-name":
                name = body["experiment_name"]
                return json.dumps({"experiment": {"experiment_id": name}}) if name in self.experiments else None
            case "experiments/create":
                self.experiments.append(body["name"])
                return json.dumps({"experiment_id": body["name"]})
            case "runs/create":
                info = {"run_id": f"r{len(self.runs)}", "status": "RUNNING", "artifact_uri": self.artifact_uri, **body}
                self.runs[info["run_id"]] = {"info": info, "params": {}, "tags": {}, "metrics": []}
                return json.dumps({"run": {"info": info}})
            case "runs/get" if run is not None:
                pairs = {kind: [{"key": k, "value": v} for k, v in run[kind].items()] for kind in ("params", "tags")}
                return json.dumps({"run": {"info": run["info"], "data": {**pairs, "metrics": run["metrics"]}}})
            case "runs/update" if run is not None:
                run["info"] |= body
                return "{}"
            case "runs/log-batch" if run is not None:
                _log(run, body)
                return "{}"
            case "":
                return "{}"
        return None


def _log(run: dict[str, Any], body: dict[str, Any]) -> None:
    for kind, most, size in ("params", 100, 6000), ("tags", 100, 5000):
        entries = body.get(kind, [])
        assert len(entries) <= most
        for entry in entries:
            assert len(entry["key"]) <= 250
            assert len(entry["value"].encode()) <= size
            assert kind == "tags" or run[kind].get(entry["key"], entry["value"]) == entry["value"], "it cannot change"
            run[kind][entry["key"]] = entry["value"]
    metrics = body.get("metrics", [])
    assert len(metrics) <= 1000
    run["metrics"] += [each for each in metrics if each not in run["metrics"]]
