"""Callbacks stop, save and change the learning rate in the same epochs as Keras's."""

import csv
import json
import os
import re

os.environ.setdefault("KERAS_BACKEND", "torch")

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from urllib.parse import parse_qsl

import keras
import numpy as np
import pytest
from keras.src.trainers.compile_utils import MetricsList

from kerascli.callbacks.base import (
    CALLBACKS,
    Callback,
    Decision,
    EpochFacts,
    PrintMessage,
    RestoreSlot,
    SaveSlot,
    SetLearningRate,
    Stop,
)
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.events import AppendRow, Post, WriteEmbeddings, WriteHistograms, WriteScalars
from kerascli.language.component import Invalid

DIRECTIONS: Mapping[str, Literal["min", "max"]] = {
    "loss": "min",
    "accuracy": "max",
    "val_loss": "min",
    "val_accuracy": "max",
}
SEEDS = range(40)


def facts(epoch: int, logs: Mapping[str, float], *, rate: float = 0.1, epochs: int = 30) -> EpochFacts:
    return EpochFacts(epoch, epochs, logs, {"": rate}, 5, DIRECTIONS)


class Run:
    """Result of a callback's decisions over epochs; its state is passed through JSON in each."""

    def __init__(self, callback: Callback, history: list[dict[str, float]], *, rate: float = 0.1) -> None:
        self.rates: list[float] = []
        self.slots: dict[str, int] = {}
        self.restored: int | None = None
        self.stopped: int | None = None
        self.said: list[str] = []
        self.rows: list[AppendRow] = []
        self.rate = rate
        state = callback.start()
        for epoch, logs in enumerate(history, start=1):
            self._carry_out(callback.begin(facts(epoch, logs, rate=self.rate)), epoch)
            self.rates.append(self.rate)
            decisions, state = callback.epoch_end(facts(epoch, logs, rate=self.rate), state)
            state = json.loads(json.dumps(state, allow_nan=False))
            self._carry_out(decisions, epoch)
            if self.stopped:
                break
        self._carry_out(callback.train_end(state), len(self.rates))

    def _carry_out(self, decisions: list[Decision], epoch: int) -> None:
        for decision in decisions:
            match decision:
                case SetLearningRate(value):
                    self.rate = value
                case Stop():
                    self.stopped = epoch
                case SaveSlot(slot):
                    self.slots[slot] = epoch
                case RestoreSlot(slot):
                    self.restored = self.slots[slot]
                case AppendRow():
                    self.rows.append(decision)
                case PrintMessage(text):
                    self.said.append(text)


class Model:
    """Minimal Keras model for callbacks; its weights are the epoch's number."""

    def __init__(self, rate: float) -> None:
        self.stop_training = False
        self.metrics = [MetricsList([keras.metrics.BinaryAccuracy(name="accuracy")])]
        self.optimizer = SimpleNamespace(learning_rate=rate)
        self.epoch = 0
        self.restored: int | None = None
        self.saved: list[int] = []

    def get_weights(self) -> int:
        return self.epoch

    def set_weights(self, epoch: int) -> None:
        self.restored = epoch

    def save(self, path: str, overwrite: bool) -> None:
        self.saved.append(self.epoch)


class Theirs:
    """A Keras callback driven by the same history; epochs count from 1, as in Run."""

    def __init__(self, callback: Any, history: list[dict[str, float]], *, rate: float = 0.1) -> None:
        self.model = Model(rate)
        self.rates: list[float] = []
        self.stopped: int | None = None
        callback.set_model(self.model)
        callback.on_train_begin()
        for epoch, logs in enumerate(history):
            self.model.epoch = epoch + 1
            callback.on_epoch_begin(epoch)
            self.rates.append(self.model.optimizer.learning_rate)
            callback.on_epoch_end(epoch, dict(logs))
            if self.model.stop_training:
                self.stopped = epoch + 1
                break
        callback.on_train_end()


def history(seed: int, epochs: int = 30) -> list[dict[str, float]]:
    """Metric values that fall or rise, with noise, plateaus, ties and occasional nan."""
    random = np.random.default_rng(seed)
    out = []
    for epoch in range(epochs):
        loss = round(max(0.3, 1.0 - 0.05 * epoch) + random.normal() * 0.1, 1 + seed % 3)
        if seed % 5 == 0 and random.uniform() < 0.1:
            loss = float("nan")
        out.append({"loss": loss, "val_loss": loss, "val_accuracy": round(random.uniform(0.5, 0.9), 1 + seed % 2)})
    return out


def settings(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(1000 + seed)
    return {
        "monitor": ["val_loss", "val_accuracy", "loss"][seed % 3],
        "patience": int(random.integers(0, 5)),
        "min_delta": float(random.choice([0.0, 0.1, 0.05, -0.02])),
        "mode": "auto" if seed % 4 else "max",
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_early_stopping_stops_and_restores_as_in_keras(seed: int) -> None:
    arguments = settings(seed) | {
        "baseline": [None, 0.6, 0.8][seed % 3],
        "restore_best_weights": seed % 2 == 0,
        "start_from_epoch": [0, 0, 4][seed % 3],
    }
    ours = Run(CALLBACKS.parse({"early_stopping": arguments}), history(seed))
    theirs = Theirs(keras.callbacks.EarlyStopping(**arguments), history(seed))
    assert (ours.stopped, ours.restored) == (theirs.stopped, theirs.model.restored)


def test_early_stopping_says_why_and_what_it_restores() -> None:
    callback = CALLBACKS.parse({"early_stopping": {"patience": 2, "restore_best_weights": True, "verbose": 1}})
    state, decisions = callback.start(), []
    for epoch, loss in enumerate([0.5, 0.4, 0.6, 0.7], start=1):
        decisions, state = callback.epoch_end(facts(epoch, {"val_loss": loss}), state)
    assert decisions == [Stop("early stopping: 'val_loss' has not improved for 2 epochs")]
    assert callback.train_end(state) == [
        PrintMessage("restoring the weights of epoch 2"),
        RestoreSlot("early_stopping-val_loss"),
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_rates_are_reduced_in_keras_s_epochs(seed: int) -> None:
    arguments = settings(seed) | {
        "factor": [0.5, 0.1, 0.9][seed % 3],
        "cooldown": [0, 2, 1][seed % 3],
        "min_lr": [0.0, 0.001, 0.03][seed % 3],
    }
    ours = Run(CALLBACKS.parse({"reduce_lr_on_plateau": arguments}), history(seed))
    theirs = Theirs(keras.callbacks.ReduceLROnPlateau(**arguments), history(seed))
    assert ours.rates == pytest.approx(theirs.rates, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_epochs_are_saved_as_in_keras(seed: int) -> None:
    arguments = {"monitor": settings(seed)["monitor"], "save_best_only": True, "mode": settings(seed)["mode"]}
    arguments["initial_value_threshold"] = [None, 0.7][seed % 2]
    ours = CALLBACKS.parse({"model_checkpoint": arguments})
    theirs = Theirs(keras.callbacks.ModelCheckpoint("model.keras", **arguments), history(seed))
    state, saved = ours.start(), []
    for epoch, logs in enumerate(history(seed), start=1):
        decisions, state = ours.epoch_end(facts(epoch, logs), state)
        saved += [epoch for decision in decisions if decision == SaveSlot("best", to_disk=True)]
    assert saved == theirs.model.saved


def test_every_epoch_is_kept_where_that_is_wanted() -> None:
    decisions, _ = CALLBACKS.parse("model_checkpoint").epoch_end(facts(12, {"loss": 1.0}), {"best": None})
    assert decisions == [SaveSlot("epoch-0012", to_disk=True)]


@pytest.mark.parametrize(
    ("schedule", "function"),
    [
        ("lr * 0.9 if epoch > 3 else lr", lambda epoch, lr: lr * 0.9 if epoch > 3 else lr),
        ("0.5 / (1 + epoch)", lambda epoch, lr: 0.5 / (1 + epoch)),
        ([[0, 0.5], [4, 0.25], [9, 0.125]], lambda epoch, lr: 0.5 if epoch < 4 else 0.25 if epoch < 9 else 0.125),
        ([[2, 0.5]], lambda epoch, lr: lr if epoch < 2 else 0.5),
        (
            {"exponential_decay": {"initial_learning_rate": 0.4, "decay_steps": 2, "decay_rate": 0.5}},
            lambda epoch, lr: 0.4 * 0.5 ** (epoch / 2),
        ),
    ],
)
def test_the_rate_of_each_epoch_is_that_of_keras_s_function(schedule: Any, function: Any) -> None:
    ours = Run(CALLBACKS.parse({"learning_rate_scheduler": {"schedule": schedule}}), history(1))
    theirs = Theirs(keras.callbacks.LearningRateScheduler(function), history(1))
    assert ours.rates == pytest.approx(theirs.rates, rel=1e-12)


def test_a_formula_that_gives_no_rate_later_on_is_an_error_with_its_epoch() -> None:
    callback = CALLBACKS.parse({"learning_rate_scheduler": "0.1 - 0.01 * epoch"})
    with pytest.raises(ConfigError, match=r"epoch 11: '0.1 - 0.01 \* epoch' gives -0.0"):
        callback.begin(facts(12, {}))


def test_logged_rows_are_those_of_keras_s_file(tmp_path: Path) -> None:
    figures = history(1, epochs=4)
    Theirs(keras.callbacks.CSVLogger(str(tmp_path / "keras.csv"), separator=";"), figures)
    ours = Run(CALLBACKS.parse({"csv_logger": {"filename": "log.csv", "separator": ";", "append": True}}), figures)
    with open(tmp_path / "keras.csv", newline="") as file:
        theirs = list(csv.DictReader(file, delimiter=";"))
    assert [{name: str(value) for name, value in row.row.items()} for row in ours.rows] == theirs
    assert {(row.file, row.separator) for row in ours.rows} == {("log.csv", ";")}


def test_a_formula_over_metrics_stops_where_a_function_of_keras_would() -> None:
    figures = history(1)
    bound = sorted(f["val_loss"] / f["loss"] for f in figures[2:])[2]
    text = f"val_loss / loss <= {bound} and epoch >= 2"
    due = [e for e, f in enumerate(figures) if f["val_loss"] / f["loss"] <= bound and e >= 2]
    assert Run(CALLBACKS.parse({"lambda_callback": text}), figures).stopped == due[0] + 1


@pytest.mark.parametrize("stop", [{"stop": "epoch > 9"}, {}])
def test_a_formula_over_metrics_is_shown_after_each_epoch_that_has_them(stop: dict[str, str]) -> None:
    callback = CALLBACKS.parse({"lambda_callback": {**stop, "show": "val_loss / loss"}})
    assert callback.watched() == ("val_loss", "loss")
    decisions, _ = callback.epoch_end(facts(1, {"loss": 0.5, "val_loss": 1.0}), callback.start())
    assert decisions == [PrintMessage("val_loss / loss = 2")]
    assert callback.epoch_end(facts(2, {"loss": 0.5}), callback.start())[0] == []
    [message], _ = callback.epoch_end(facts(3, {"loss": 0.0, "val_loss": 1.0}), callback.start())
    assert isinstance(message, PrintMessage)  # the training goes on
    assert re.fullmatch(r"val_loss / loss has no value: .*zero.*", message.text)


@pytest.mark.parametrize("name", ["early_stopping", "reduce_lr_on_plateau", "model_checkpoint"])
def test_an_epoch_without_the_metric_does_not_count_and_that_is_reported(name: str) -> None:
    callback = CALLBACKS.parse({name: {"save_best_only": True} if name == "model_checkpoint" else {"patience": 1}})
    decisions, state = callback.epoch_end(facts(3, {"loss": 1.0}), callback.start())
    assert decisions == [PrintMessage(f"{name}: 'val_loss' is not in the logs of epoch 3, which is ignored")]
    assert state == callback.start()


def test_what_is_watched_must_be_logged() -> None:
    callback = CALLBACKS.parse("early_stopping")
    assert callback.check({"loss", "val_loss"}) is None
    assert callback.check({"loss", "accuracy"}) == (
        "there is no 'val_loss' without validation; add validation_data or validation_split to fit"
    )
    typo = CALLBACKS.parse({"early_stopping": "val_acuracy"})
    assert typo.check({"loss", "val_loss", "accuracy", "val_accuracy"}) == (
        "unknown metric 'val_acuracy' in monitor; did you mean 'val_accuracy'?"
    )
    assert CALLBACKS.parse("model_checkpoint").check({"loss"}) is None


def test_a_metric_of_no_known_direction_needs_a_mode() -> None:
    figures = [{"odd": 1.0}, {"odd": 2.0}]
    with pytest.raises(ConfigError, match="cannot infer whether 'odd' is better lower or higher"):
        Run(CALLBACKS.parse({"early_stopping": "odd"}), figures)
    assert Run(CALLBACKS.parse({"early_stopping": {"monitor": "odd", "mode": "max"}}), figures).stopped is None


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"model_checkpoint": {"filepath": "m.keras"}}, "have their place in the run folder"),
        ({"model_checkpoint": {"save_weights_only": True}}, "always complete"),
        ({"model_checkpoint": {"save_freq": 100, "save_best_only": True}}, "set monitor: loss, or save_freq: epoch"),
        ({"model_checkpoint": {"save_freq": 0}}, "save_freq: expected epoch"),
        (
            {"backup_and_restore": {"backup_dir": "/tmp/backup"}},
            "has no 'backup_dir': a run keeps its backup in its own folder",
        ),
        ({"swap_ema_weights": {"swap_on_epoch": True}}, "leave 'swap_on_epoch' out"),
        ({"remote_monitor": "file:///etc/passwd"}, "expected an address such as http://localhost:9000"),
        ({"tensorboard": {"write_graph": True}}, "'kerascli summary' shows the model"),
        ({"tensorboard": {"embeddings_view": "z"}}, "embeddings_view needs embeddings_freq"),
        ({"tensorboard": "../board"}, "expected a plain folder name"),
        ({"learning_rate_scheduler": "lr * epch"}, "unknown name 'epch'; did you mean 'epoch'"),
        ({"lambda_callback": {"stop": "loss >"}}, "'loss >'"),
        ({"learning_rate_scheduler": "0 * lr"}, "expected a number greater than 0"),
        ({"learning_rate_scheduler": [[5, 0.1], [0, 0.2]]}, "in ascending order of epochs"),
        ({"learning_rate_scheduler": [[0, -0.1]]}, r"expected pairs \[first epoch, rate\]"),
        ({"learning_rate_scheduler": 5}, "expected a formula, a list of"),
        ({"reduce_lr_on_plateau": {"factor": 1.0}}, "factor: must be less than 1"),
        ({"csv_logger": "../log.csv"}, "expected a plain file name"),
        ({"early_stopping": {"mode": "low"}}, "mode: expected auto, min or max"),
    ],
)
def test_settings_that_make_no_sense_are_refused(written: Any, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        CALLBACKS.parse(written)


@pytest.mark.parametrize("seed", range(12))
def test_checkpoints_every_few_batches_are_those_of_keras(seed: int) -> None:
    """Batches are counted over all epochs; the best is by the metrics so far."""
    best, every, steps = seed % 2 == 1, 2 + seed % 4, 5
    arguments = {"monitor": "loss", "save_best_only": best, "save_freq": every}
    theirs: Any = keras.callbacks.ModelCheckpoint("model.keras", **arguments)
    model = Model(0.1)
    theirs.set_model(model)
    ours = CALLBACKS.parse({"model_checkpoint": arguments})
    state, saved, step = ours.start(), [], 0
    losses = np.random.default_rng(seed).uniform(size=(4, steps)).round(2)
    for epoch in range(4):
        theirs.on_epoch_begin(epoch)
        for batch in range(steps):
            step += 1
            model.epoch = step
            logs = {"loss": float(losses[epoch, batch])}
            theirs.on_train_batch_end(batch, logs)
            if step % (ours.batch_period() or 1) == 0:
                now = EpochFacts(epoch + 1, 4, logs, {"": 0.1}, steps, DIRECTIONS, step)
                decisions, state = ours.batch_end(now, state)
                saved += [step for decision in decisions if isinstance(decision, SaveSlot) and decision.to_disk]
        theirs.on_epoch_end(epoch, {})
        decisions, state = ours.epoch_end(facts(epoch + 1, {}), state)
        assert decisions == []
    assert saved == model.saved
    assert saved


def test_a_backup_is_made_after_every_epoch_or_every_few_batches() -> None:
    backup = [SaveSlot("backup", to_disk=True)]
    each = CALLBACKS.parse("backup_and_restore")
    assert (each.batch_period(), each.epoch_end(facts(1, {}), {})[0]) == (None, backup)
    often = CALLBACKS.parse({"backup_and_restore": {"save_freq": 50, "double_checkpoint": True}})
    assert (often.batch_period(), often.epoch_end(facts(1, {}), {})[0]) == (50, [])
    assert often.batch_end(facts(1, {}), {})[0] == backup


@pytest.mark.parametrize("as_json", [False, True])
def test_metrics_are_sent_as_keras_sends_them(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras sends form fields or JSON with the requests library, which is replaced here."""
    sent: list[Any] = []
    requests = SimpleNamespace(
        post=lambda url, data=None, *, json=None, headers: sent.append((url, data, json, headers)),
        exceptions=SimpleNamespace(RequestException=OSError),
    )
    monkeypatch.setattr("keras.src.callbacks.remote_monitor.requests", requests)
    arguments: dict[str, Any] = {"root": "http://there", "path": "/told/", "headers": {"X-Key": "1"}, "field": "told"}
    arguments["send_as_json"] = as_json
    Theirs(keras.callbacks.RemoteMonitor(**arguments), history(1, epochs=2))
    callback = CALLBACKS.parse({"remote_monitor": arguments})
    for epoch, (logs, (url, data, figures, headers)) in enumerate(
        zip(history(1, epochs=2), sent, strict=True), start=1
    ):
        (ours,), _ = callback.epoch_end(facts(epoch, logs), {})
        assert isinstance(ours, Post)
        assert (ours.url, ours.headers["X-Key"]) == (url, headers["X-Key"])
        assert ours.headers["Content-Type"].endswith("json" if as_json else "x-www-form-urlencoded")
        body = ours.body.decode()
        if as_json:
            assert json.loads(body) == figures
        else:
            ((name, text),) = parse_qsl(body)
            assert (name, json.loads(text)) == ("told", json.loads(data["told"]))


def test_a_metric_that_is_no_number_is_sent_as_null() -> None:
    (ours,), _ = CALLBACKS.parse({"remote_monitor": {"send_as_json": True}}).epoch_end(
        facts(1, {"a": float("nan")}), {}
    )
    assert isinstance(ours, Post)
    assert json.loads(ours.body) == {"epoch": 0, "a": None}


def test_boards_are_given_metrics_by_split_and_weights_now_and_then() -> None:
    board = CALLBACKS.parse({"tensorboard": {
        "histogram_freq": 2, "update_freq": 10, "write_steps_per_second": True, "embeddings_freq": 1,
    }})  # fmt: skip
    now = EpochFacts(3, 9, {"loss": 0.5, "val_loss": 0.7}, {"": 0.1}, 20, DIRECTIONS, 60, 4.0)
    assert board.epoch_end(now, {})[0] == [
        WriteScalars(
            "tensorboard/train", 2,
            {"epoch_loss": 0.5, "epoch_learning_rate": 0.1, "epoch_steps_per_second": 5.0},
        ),
        WriteScalars("tensorboard/validation", 2, {"epoch_loss": 0.7}),
        WriteHistograms("tensorboard/train", 2),
        WriteEmbeddings("tensorboard/train", None),
    ]  # fmt: skip
    assert board.batch_period() == 10
    assert board.batch_end(now, {})[0] == [
        WriteScalars("tensorboard/train", 60, {"batch_loss": 0.5, "batch_val_loss": 0.7})
    ]
    assert CALLBACKS.parse({"tensorboard": {"update_freq": "batch"}}).batch_period() == 1


def test_a_missing_package_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerascli.callbacks.tensorboard.find_spec", lambda name: None)
    said = CALLBACKS.parse("tensorboard").check({"loss"})
    assert said == "tensorboard: the package is not installed; pip install 'kerascli[tensorboard]'"
