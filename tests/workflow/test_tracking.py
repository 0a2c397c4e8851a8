"""Runs on an MLflow server: what it gets while they train and afterwards, and what happens when it fails."""

import base64
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, KerasCliError, TrainingStopped
from kerascli.foundation.events import Event, Note
from kerascli.runs.record import RunRecord
from kerascli.workflow.smoke import smoke
from kerascli.workflow.tracking import following
from kerascli.workflow.tracking.client import Client
from kerascli.workflow.tracking.sending import Sender
from tests.support.mlflow import MLFLOW, FakeServer, mlflow_server, runs_by_client
from tests.support.needs import needs
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import TWO_CLASSES, command, edit_facts, go_on, train, write, write_rows

needs_mlflow = needs(MLFLOW, "needs an MLflow server: put its environment's bin on PATH (pip install mlflow)")
LIVE = TWO_CLASSES.replace("callbacks: [", "callbacks: [mlflow, ")
TOKEN = "t0ken-of-a-test"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    fake = FakeServer()
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fake.url)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("no_proxy", "*")
    yield fake
    fake.close()


def small_run(folder: Path, epochs: int = 3, **facts: object) -> RunRecord:
    """Return a run that was not trained: files as a training writes them."""
    run = RunRecord.create(folder, "small")
    with run.locked():
        run.write_config("seed: 1\n")
        run.write_resolved("seed: 1\nmodel: {layers: [{dense: {units: 2}}, {dense: {units: 1}}]}\n")
        run.begin({"device": "cpu", "flags": {"width": 3}, **facts})
        write_rows(run, [{"epoch": n, "loss": 1 / n, "epoch_seconds": 0.5} for n in range(1, epochs + 1)])
        run.finish("completed", results={"test": {"loss": 0.25}})
    return run


def send(run: RunRecord, *, artifacts: bool = False) -> str:
    return Sender(Client(), run).send(run.history(), artifacts=artifacts)


def warnings(events: list[Event]) -> list[Note]:
    return [each for each in events if isinstance(each, Note) and each.level == "warning"]


def test_a_run_is_sent_while_it_trains_and_its_resumption_too(server: FakeServer, tmp_path: Path) -> None:
    run, events = train(write(tmp_path, LIVE), tmp_path / "runs", ["fit.epochs=2"])
    assert warnings(events) == []
    go_on(run, ["fit.epochs=4"])
    [sent] = server.runs.values()
    assert sent["info"]["experiment_id"] == "Default"
    assert sent["info"]["status"] == "FINISHED"
    assert sent["params"]["fit.epochs"] == "2"
    assert sent["tags"]["fit.epochs"] == "4"
    assert sent["params"]["model.layers.0.dense.units"] == "1"
    assert sent["params"]["compile.optimizer.adam.learning_rate"] == "0.05"
    for row in run.history():
        own = {name: value for name, value in row.items() if name != "epoch"}
        assert {m["key"]: m["value"] for m in sent["metrics"] if m["step"] == row["epoch"]}.items() >= own.items()
    results = [m["value"] for m in sent["metrics"] if m["key"] == "test_accuracy"]
    assert results[-1] == run.facts()["results"]["test"]["accuracy"]
    assert {authorization for _, _, authorization in server.requests} == {f"Bearer {TOKEN}"}
    assert send(run) == "nothing new"


def test_times_of_metrics_are_the_start_and_the_durations_of_epochs(server: FakeServer, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    edit_facts(run.path, started="2026-11-30T10:00:00Z")
    assert send(run) == "4 parameters, 3 tags, 3 epochs, 1 result"
    [sent] = server.runs.values()
    assert sent["info"]["start_time"] == 1796032800000
    assert [m["timestamp"] - 1796032800000 for m in sent["metrics"] if m["key"] == "loss"] == [500, 1000, 1500]


def test_sending_again_sends_the_rest(server: FakeServer, tmp_path: Path) -> None:
    run = small_run(tmp_path, epochs=2500)
    # experiment, its creation, the run's, parameters, tags, a thousand metrics of 5,001
    server.failures = [None] * 6 + [(500, '{"message": "busy"}')]
    with pytest.raises(DataError, match="answers 500: busy"):
        send(run)
    [sent] = server.runs.values()
    assert len(sent["metrics"]) == 1000
    assert send(run) == "2500 epochs, 1 result"
    assert [m["step"] for m in sent["metrics"] if m["key"] == "loss"] == list(range(1, 2501))
    assert send(run) == "nothing new"
    write_rows(run, [{"epoch": n, "loss": 1 / n, "epoch_seconds": 0.5} for n in range(1, 2503)])
    run.finish("completed", results={"test": {"loss": 0.25}})
    assert send(run) == "2 epochs"


def test_a_run_that_the_server_does_not_have_is_sent_anew(server: FakeServer, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    first = send(run)
    server.runs.clear()
    assert send(run) == first
    (run.path / "sent.json").write_text("{}")
    with pytest.raises(FileRefused, match=r"sent\.json' is damaged") as refused:
        send(run)
    assert refused.value.faults[0].hint == "without it the run is sent as a new one"


def test_names_and_values_fit_mlflow_and_stay_different(server: FakeServer, tmp_path: Path) -> None:
    run = RunRecord.create(tmp_path, "odd")
    with run.locked():
        long = "n" * 300
        text = f"a: {{größe: 1, grüße: 2, {long}1: 3, {long}2: 4, e: '', f: '{'ö' * 4000}', g: [1, null, true]}}\n"
        run.write_resolved(text + "".join(f"k{number}: {number}\n" for number in range(250)))
        run.begin({})
        write_rows(run, [{"epoch": 1, "loss": math.nan, "accuracy": math.inf, "auc": -math.inf}])
        run.finish("failed", reason="r" * 9000)
    assert send(run) == "257 parameters, 3 tags, 1 epoch"
    [sent] = server.runs.values()
    assert sorted(sent["params"].values())[-1] == "ö" * 3000
    assert len(sent["params"]) == 257
    assert sent["params"]["a.g"] == "[1, null, true]"
    assert {m["key"]: m["value"] for m in sent["metrics"]} == {
        "loss": "NaN",
        "accuracy": "Infinity",
        "auc": "-Infinity",
    }
    assert sent["info"]["status"] == "FAILED"
    assert len(sent["tags"]["kerascli.reason"]) == 5000
    assert send(run) == "nothing new"


def test_files_are_sent_if_asked(server: FakeServer, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    assert send(run) == "4 parameters, 3 tags, 3 epochs, 1 result"
    assert send(run, artifacts=True) == "3 files"
    folder = "/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts"
    files = {path: body for path, body, _ in server.requests if isinstance(body, bytes)}
    assert files == {
        f"{folder}/{name}": (run.path / name).read_bytes() for name in ("config.yaml", "resolved.yaml", "history.csv")
    }
    assert send(run, artifacts=True) == "nothing new"
    outside = {"../other.txt": "0" * 64}
    (tmp_path / "other.txt").write_text("private")
    edit_facts(run.path, files={**run.facts()["files"], **outside})
    with pytest.raises(FileRefused, match="is not in the run's folder"):
        send(run, artifacts=True)
    server.artifact_uri = "s3://bucket/0"
    server.runs.clear()
    with pytest.raises(ConfigError, match="those of the experiment are at s3:"):
        send(run, artifacts=True)


# Servers that fail


def test_a_server_that_is_away_does_not_stop_a_training_and_is_reported_once(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_PAUSE_AFTER_FAILURE_SECONDS", 0.01)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run, events = train(write(tmp_path, LIVE), tmp_path, ["fit.epochs=8"])
    [warning] = warnings(events)
    assert warning.text.startswith("mlflow: the MLflow server of MLFLOW_TRACKING_URI does not answer: ")
    assert warning.below == (f"  hint: send the rest afterwards: kerascli runs send {run.folder_name} --to mlflow",)
    assert "127.0.0.1" not in warning.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    assert "8 epochs" in send(run)


def test_results_of_before_a_resumption_wait_for_its_end(server: FakeServer, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    with run.locked():
        run.begin({"device": "cpu"})
        run.history_writer.synced_prefix()
        assert send(run) == "4 parameters, 3 tags, 3 epochs"
        run.finish("completed", results={"test": {"loss": 0.125}})
    assert send(run) == "1 result"


def test_a_server_that_fails_for_a_while_gets_the_epochs_later(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_PAUSE_AFTER_FAILURE_SECONDS", 0.01)
    server.failures = [(503, "<html>")] * 2
    run, _ = train(write(tmp_path, LIVE), tmp_path)
    [sent] = server.runs.values()
    assert [m["step"] for m in sent["metrics"] if m["key"] == "loss"] == [1, 2, 3]
    assert send(run) == "nothing new"


def test_a_training_does_not_wait_for_a_slow_server(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_PATIENCE_SECONDS", 0.1)
    server.seconds = 3.0
    run, events = train(write(tmp_path, LIVE), tmp_path)
    assert [each.text for each in warnings(events)] == ["mlflow: the server is slow: not all of the run was sent"]
    assert run.status() == "completed"
    assert len(server.requests) <= 2
    assert run.facts()["seconds"] < 3.0
    assert {each.name for each in threading.enumerate() if not each.daemon} == {"MainThread"}


def test_a_failed_training_is_sent_as_failed(server: FakeServer, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        LIVE.replace("adam: 0.05", "sgd: 1e38")
        .replace("units: 1, activation: sigmoid", "units: 1")
        .replace("binary_crossentropy", "mse")
        .replace("accuracy, auc", "mae"),
    )
    with pytest.raises(TrainingStopped):
        train(path, tmp_path / "runs")
    [sent] = server.runs.values()
    assert sent["info"]["status"] == "FAILED"
    assert "kerascli.reason" in sent["tags"]


def test_a_smoke_test_is_not_sent(server: FakeServer, tmp_path: Path) -> None:
    assert list(smoke(write(tmp_path, LIVE), flags=[]))
    assert server.requests == []


@pytest.mark.parametrize(
    ("code", "content", "exit_code", "text"),
    [
        (401, '{"message": "no: AUTHORIZATION"}', 2, "refuses the credentials (401: no: Bearer ***)"),
        (403, "<html>", 2, "refuses the credentials (403: no message)"),
        (500, '{"message": "at AUTHORIZATION"}', 3, "MLFLOW_TRACKING_URI answers 500: at Bearer ***"),
        (302, "", 3, "answers 302: no message"),
        (200, "<html>", 3, "answers 200: no message"),
        (200, '{"experiment": 3}', 3, "is not MLflow's"),
        (400, '{"message": "a\\u001b[31mb"}', 3, "answers 400: a\\x1b[31mb"),
    ],
)
def test_send_says_what_a_server_answers_without_the_token(
    server: FakeServer, tmp_path: Path, code: int, content: str, exit_code: int, text: str
) -> None:
    run = small_run(tmp_path / "runs")
    server.always = (code, content)
    result = CliRunner().invoke(app, ["runs", "send", str(run.path), "--to", "mlflow"])
    assert isinstance(result.exception, KerasCliError)
    assert result.exception.exit_code == exit_code
    printed = "\n".join(line for fault in result.exception.faults for line in fault.lines())
    assert text in printed
    assert TOKEN not in printed
    assert server.url not in printed
    assert not (run.path / "sent.json").exists()


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("", ""),
        ("databricks", ""),
        ("http://ann:pass@host", ""),
        ("http://[", ""),
        ("http://h", "a\nb"),
        ("h:5000", ""),
    ],
)
def test_addresses_and_tokens_that_cannot_be_are_refused_and_not_repeated(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, address: str, token: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    with pytest.raises(ConfigError, match=r"^MLFLOW_TRACKING_(URI|TOKEN): ") as refused:
        Client()
    assert not address or address not in str(refused.value.faults)


def test_credentials_do_not_follow_a_redirect(server: FakeServer, tmp_path: Path) -> None:
    other = FakeServer()
    server.redirects_to = other.url
    with pytest.raises(DataError):
        send(small_run(tmp_path))
    other.close()
    assert {authorization for _, _, authorization in server.requests} == {f"Bearer {TOKEN}"}
    assert {authorization for _, _, authorization in other.requests} == {""}


def test_a_user_and_a_password_come_before_a_token(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "söcret")
    Client().get("experiments/get-by-name", experiment_name="x")
    assert server.requests[0][2] == f"Basic {base64.b64encode('ann:söcret'.encode()).decode()}"


def test_no_file_of_a_run_has_the_address_or_the_token(server: FakeServer, tmp_path: Path) -> None:
    server.always = (500, '{"message": "AUTHORIZATION"}')
    write(tmp_path, LIVE)
    done = forked_kerascli("train", "config.yaml", cwd=tmp_path)
    server.always = None
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: mlflow: ") == 1
    [run] = (tmp_path / "runs").glob("2*")
    done = forked_kerascli("runs", "send", run.name, "--to", "mlflow", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.startswith(f"{run.name}: sent ")
    contents = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert TOKEN.encode() not in contents
    assert server.url.encode() not in contents  # the port alone may be digits of some metric


def test_another_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--to: expected mlflow, got 'wandb'"):
        command("runs", "send", small_run(tmp_path).path, "--to", "wandb")


# A real server


@needs_mlflow
def test_a_real_server_has_what_the_run_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "größe 2")
    monkeypatch.setenv("no_proxy", "*")
    config = write(tmp_path, LIVE.replace("mlflow", "{mlflow: {artifacts: true}}"))
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        run, events = train(config, tmp_path / "runs", ["fit.epochs=2"], name="live")
        assert warnings(events) == []
        go_on(run, ["fit.epochs=4"])
        assert send(run, artifacts=True) == "nothing new"
        odd = small_run(tmp_path, epochs=1500)
        with odd.locked():
            write_rows(odd, [{"epoch": n, "loss": math.nan, "epoch_seconds": 0.5} for n in range(1, 1501)])
            odd.finish("failed")
        assert send(odd).startswith("4 parameters")
        assert send(odd) == "nothing new"
        runs = {each["name"]: each for each in runs_by_client(url)}
    assert {each["experiment"] for each in runs.values()} == {"größe 2"}
    live = runs["live"]
    assert live["status"] == "FINISHED"
    assert live["end"] > live["start"]
    assert live["params"]["fit.epochs"] == "2"
    assert live["tags"]["fit.epochs"] == "4"
    for name in ("loss", "val_auc", "learning_rate"):
        assert [point[:2] for point in live["history"][name]] == [[r["epoch"], r[name]] for r in run.history()]
    assert live["history"]["test_auc"][-1][1] == run.facts()["results"]["test"]["auc"]
    assert live["files"].keys() >= {"model.safetensors", "history.csv", "resolved.yaml"}
    assert live["files"]["resolved.yaml"] == run.resolved()
    losses = runs["small"]["history"]["loss"]
    assert [step for step, *_ in losses] == list(range(1, 1501))
    assert all(value != value for _, value, _ in losses)
    assert runs["small"]["status"] == "FAILED"
