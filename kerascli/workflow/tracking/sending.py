"""Send a run to an MLflow server: its settings as parameters, metrics by epoch, results, status and, if asked, files.

`sent.json` in the run's folder records what was sent, and sending again sends the rest. A metric sent twice has the
same time and step, so that MLflow keeps one.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, counted, in_yaml
from kerascli.report.tables import settings
from kerascli.runs.checksums import Digest, sealed, unsealed
from kerascli.runs.history import Row
from kerascli.runs.reading import TEXT_LIMIT_BYTES, must_open, must_read, quoted
from kerascli.runs.record import RunRecord
from kerascli.workflow.tracking.client import Client

_STATUS = {"running": "RUNNING", "completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
"""MLflow's name of each status of a run; of all others it is KILLED."""
_MOST = {"params": 100, "tags": 100, "metrics": 1000}
"""MLflow's maximum numbers of entries in a request."""
_NAME_LENGTH, _PARAM_BYTES, _TAG_BYTES = 250, 6000, 5000
"""MLflow's maximum length of a name, and sizes of the values of parameters and tags."""


class _Sent(BaseModel):
    """Contents of sent.json: what an MLflow server has of a run."""

    model_config = ConfigDict(strict=True, extra="forbid")

    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}\z")]
    """Name that the server gave to the run."""
    epoch: NonNegativeInt = 0
    """Last epoch whose metrics were sent."""
    artifacts: dict[str, Digest] = {}
    """Mapping from each file that was sent to its SHA-256."""


class Sender:
    """Sender of a run to an MLflow server, which continues where the last one stopped.

    All methods raise DataError if the server does not answer, ConfigError if it refuses the credentials.
    """

    def __init__(self, client: Client, run: RunRecord) -> None:
        """Look up the run on the server, or create it there."""
        self._client, self._run, self._path = client, run, run.path / "sent.json"
        facts = run.facts()
        self._settings = settings(run) | {f"flags.{name}": value for name, value in facts.get("flags", {}).items()}
        sent = _read(self._path)
        answer = sent and client.get("runs/get", run_id=sent.run_id)
        try:
            if sent is None or answer is None:
                experiment = {"experiment_id": self._experiment(), "start_time": _milliseconds(facts["started"])}
                answer = client.post("runs/create", {**experiment, "run_name": run.name})
                sent = _Sent(run_id=answer["run"]["info"]["run_id"])
            info, data = answer["run"]["info"], answer["run"].get("data", {})
            self._status, self._storage = str(info["status"]), str(info["artifact_uri"])
            self._params, self._tags, self._metrics = (
                {entry["key"]: entry.get("value", "") for entry in data.get(kind, [])} for kind in _MOST
            )
        except (AttributeError, KeyError, TypeError, ValidationError):
            raise DataError("the answer of the server of MLFLOW_TRACKING_URI is not MLflow's") from None
        self._sent = sent
        self._write()

    def _experiment(self) -> str:
        """Return the id of the experiment that the environment names, which is created if the server has none."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
        answer = self._client.get("experiments/get-by-name", experiment_name=name)
        experiment = answer["experiment"] if answer else self._client.post("experiments/create", {"name": name})
        return experiment["experiment_id"]

    def send(self, rows: Sequence[Row], *, artifacts: bool) -> str:
        """Send what the server does not have, and return it in words.

        `rows` are those of history.csv. Files are sent if `artifacts` is true.
        """
        facts, counts = self._run.facts(), Counter[str]()
        counts["parameter"], counts["tag"] = self._send_settings(facts)
        counts["epoch"], counts["result"] = self._send_metrics(rows, facts)
        counts["file"] = self._send_files(facts) if artifacts else 0
        status = _STATUS.get(self._run.status(), "KILLED")
        if status != self._status:
            ended = {"end_time": _milliseconds(facts["ended"])} if facts.get("ended") else {}
            self._client.post("runs/update", {"run_id": self._sent.run_id, "status": status, **ended})
            self._status = status
        return ", ".join(counted(number, noun) for noun, number in counts.items() if number) or "nothing new"

    def _send_settings(self, facts: Mapping[str, Any]) -> tuple[int, int]:
        """Send settings as parameters; those that changed at a resume become tags: MLflow changes no parameter."""
        settings = {_name(key): _text(value, _PARAM_BYTES) for key, value in self._settings.items()}
        params = {key: value for key, value in settings.items() if key not in self._params}
        tags: dict[str, object] = {
            key: value for key, value in settings.items() if key in self._tags or self._params.get(key, value) != value
        }
        tags |= {"kerascli.run": self._run.folder_name, "mlflow.source.name": "kerascli"}
        tags |= {f"kerascli.{key}": facts[key] for key in ("device", "git_commit", "reason") if facts.get(key)}
        texts = {key: _text(value, _TAG_BYTES) for key, value in tags.items()}
        changed = {key: value for key, value in texts.items() if self._tags.get(key) != value}
        for kind, new, stored in ("params", params, self._params), ("tags", changed, self._tags):
            self._log(kind, [{"key": key, "value": value} for key, value in new.items()])
            stored.update(new)
        return len(params), len(changed)

    def _send_metrics(self, rows: Sequence[Row], facts: Mapping[str, Any]) -> tuple[int, int]:
        """Send the epochs that were not sent, timed by the run's start and the durations of epochs; and results."""
        start, before = _milliseconds(facts["started"]), self._sent.epoch
        ends = accumulate(row.get("epoch_seconds", 0.0) for row in rows)
        timed = [(row, start + int(1000 * end)) for row, end in zip(rows, ends, strict=True) if row["epoch"] > before]
        metrics = [
            _metric(name, value, time, int(row["epoch"]))
            for row, time in timed
            for name, value in row.items()
            if name not in {"epoch", "phase"}
        ]
        last = int(max([before, *(row["epoch"] for row in rows)]))
        results = {
            name: value
            for split, logs in ((facts["ended"] and facts.get("results")) or {}).items()  # a resumed run has none yet
            for key, value in logs.items()
            if value is not None and self._metrics.get(name := f"{split}_{key}") != value
        }
        metrics += [_metric(name, value, _milliseconds(facts["ended"]), last) for name, value in results.items()]
        self._log("metrics", metrics)
        self._sent.epoch = last
        self._write()
        return len(timed), len(results)

    def _send_files(self, facts: Mapping[str, Any]) -> int:
        """Send the files whose SHA-256 run.json records (configs, weights, preprocessing), and the history."""
        scheme, _, folder = self._storage.partition(":")
        if scheme != "mlflow-artifacts":
            hint = "start it with --artifacts-destination, and use another experiment"
            raise ConfigError(f"the MLflow server takes no files: those of the experiment are at {scheme}:", hint=hint)
        folder = re.sub(r"^//[^/]*", "", folder).strip("/")
        files = dict(facts["files"])
        if facts.get("history"):
            files["history.csv"] = facts["history"]["sha256"]
        new = {name: digest for name, digest in files.items() if self._sent.artifacts.get(name) != digest}
        for name, digest in new.items():
            path = self._run.path / name
            if not path.resolve().is_relative_to(self._run.path.resolve()):
                raise FileRefused(f"{quoted(path)} is not in the run's folder")
            with must_open(path) as file:
                self._client.put_file(f"{folder}/{name}", file, os.fstat(file.fileno()).st_size)
            self._sent.artifacts[name] = digest
            self._write()
        return len(new)

    def _log(self, kind: str, entries: Sequence[Mapping[str, Any]]) -> None:
        for start in range(0, len(entries), _MOST[kind]):
            part = entries[start : start + _MOST[kind]]
            self._client.post("runs/log-batch", {"run_id": self._sent.run_id, kind: part})

    def _write(self) -> None:
        storage.write_bytes(self._path, sealed({"mlflow": self._sent.model_dump()}))


def _read(path: Path) -> _Sent | None:
    """Return the contents of sent.json; None without the file. Raises FileRefused if it is damaged."""
    if not os.path.lexists(path):
        return None
    try:
        return _Sent.model_validate(unsealed(must_read(path, TEXT_LIMIT_BYTES), path).get("mlflow"))
    except (FileRefused, ValidationError):
        raise FileRefused(f"{quoted(path)} is damaged", hint="without it the run is sent as a new one") from None


def _name(key: str) -> str:
    """Return a name that MLflow accepts: `model.layers[1].dense.units` as `model.layers.1.dense.units`.

    One that is too long or has other characters gets eight digits of its SHA-256, so that names stay different.
    """
    plain = key.replace("[", ".").replace("]", "")
    name = re.sub(r"[^A-Za-z0-9_. -]", "_", plain)
    if name == plain and len(name) <= _NAME_LENGTH:
        return name
    return f"{name[: _NAME_LENGTH - 9]}_{sha256(storage.text_bytes(key)).hexdigest()[:8]}"


def _text(value: object, most_bytes: int) -> str:
    text = value if isinstance(value, str) else in_yaml(value)
    return storage.text_bytes(text)[:most_bytes].decode(errors="ignore")


def _metric(name: str, value: float, time: int, step: int) -> dict[str, Any]:
    number = value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return {"key": _name(name), "value": number, "timestamp": time, "step": step}


def _milliseconds(time: str) -> int:
    """Return a time of run.json in milliseconds since 1970. Raises FileRefused if it is damaged."""
    try:
        return int(1000 * datetime.fromisoformat(time).timestamp())
    except ValueError:
        raise FileRefused(f"run.json is damaged: {quoted(time)} is not a time") from None
