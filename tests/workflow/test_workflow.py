"""From a config to a run folder, metrics and predictions: all agree, and failures are reported."""

import csv
import json
import math
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from torch import Tensor
from torch.nn import functional as F

from kerascli.cli.predict import predict as predict_command
from kerascli.config.load import open_config
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, StorageError, TrainingStopped
from kerascli.foundation.events import Began, EpochBegin, Evaluated, Event, Note, Stopped
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.training.step import Trainer
from kerascli.workflow.evaluate import Evaluation, evaluate_rows
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.train import Options, start
from tests.support.needs import library
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import HARD, go_on, outcome, train, write

KINDS = ("iris", "rose", "tulip")
FLOWERS = """
seed: 3
data:
  source: {csv: {path: flowers.csv, test: others.csv}}
  inputs:
    x: [{columns: [length, width]}, normalization]
    place: [{string_lookup: {output_mode: one_hot}}]
  targets: {kind: [string_lookup]}
model:
  layers:
    - concatenate: {inputs: [x, place], name: both}
    - dense: {units: 8, activation: tanh, name: hidden}
    - dropout: {rate: 0.2, name: drop}
    - batch_normalization: {name: norm}
    - dense: {units: 3, activation: softmax, name: out}
compile: {optimizer: {adam: 0.05}, loss: sparse_categorical_crossentropy, metrics: [accuracy]}
fit: {epochs: 4, batch_size: 16, validation_split: 0.2}
"""


def evaluate_run(run: LoadedRun, what: str) -> Evaluation:
    """Evaluate a run as the command does; `what` is a split or a file."""
    return evaluate_rows(run, rows_of(run, what, targets=True), what)


def write_flowers(path: Path, rows: int, seed: int) -> list[dict[str, str]]:
    """Write two lengths and a place, and the species that the lengths determine; most grow on a hill."""
    rng = np.random.default_rng(seed)
    table = []
    for row in range(rows):
        length, width = rng.normal([row % 3, -(row % 3)], 0.6).round(3)
        place = "shore" if row % 4 == 0 else "hill"
        table.append({"length": str(length), "width": str(width), "place": place, "kind": KINDS[row % 3]})
    write_rows(path, table)
    return table


def write_rows(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


class Garden(NamedTuple):
    """A trained run of FLOWERS, for reading only, and its rows."""

    folder: Path
    run: RunRecord
    events: list[Event]
    known: list[dict[str, str]]
    others: list[dict[str, str]]

    @property
    def training(self) -> list[dict[str, str]]:
        return self.known[:72]

    def outputs(self, rows: Sequence[dict[str, str]]) -> Tensor:
        """Compute probabilities from the rows and model.safetensors in plain torch."""
        w = load_tensors(self.run.weights())
        hidden = torch.tanh(self._inputs(rows) @ w["hidden/kernel"] + w["hidden/bias"])
        scaled = (hidden - w["norm/moving_mean"]) / torch.sqrt(w["norm/moving_variance"] + 1e-3)
        return torch.softmax((scaled * w["norm/gamma"] + w["norm/beta"]) @ w["out/kernel"] + w["out/bias"], 1)

    def _inputs(self, rows: Sequence[dict[str, str]]) -> Tensor:
        seen, given = (np.array([[float(r["length"]), float(r["width"])] for r in t]) for t in (self.training, rows))
        places = ["[UNK]", "hill", "shore"]  # the most frequent first
        hot = np.eye(3)[[places.index(row["place"]) if row["place"] in places else 0 for row in rows]]
        return torch.from_numpy(np.hstack([(given - seen.mean(0)) / seen.std(0), hot])).float()

    def figures(self, rows: Sequence[dict[str, str]]) -> dict[str, float]:
        p, kinds = self.outputs(rows), torch.tensor([KINDS.index(row["kind"]) for row in rows])
        accuracy = (p.argmax(1) == kinds).double().mean().item()
        return {"loss": F.nll_loss(p.log(), kinds).item(), "accuracy": accuracy}


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    folder = tmp_path_factory.mktemp("garden")
    known, others = write_flowers(folder / "flowers.csv", 90, 0), write_flowers(folder / "others.csv", 30, 1)
    run, events = train(write(folder, FLOWERS), folder / "runs")
    return Garden(folder, run, events, known, others)


def only(events: Sequence[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


# Training, evaluating and predicting


def test_training_and_evaluating_come_to_what_the_weights_give_by_hand(garden: Garden) -> None:
    opened = open_run(garden.run)
    by_hand = garden.figures(garden.others)
    evaluated = evaluate_run(opened, "test").result
    assert evaluated.logs == pytest.approx(by_hand, rel=1e-5)
    assert 0.5 < by_hand["accuracy"] < 1
    assert only(garden.events, Evaluated)[-1].logs == evaluated.logs
    assert garden.run.facts()["results"] == {"test": evaluated.logs}

    last = garden.run.history()[-1]
    validation = evaluate_run(opened, "validation").result
    assert validation.logs == pytest.approx(garden.figures(garden.known[72:]), rel=1e-5)
    assert validation.logs == {"loss": last["val_loss"], "accuracy": last["val_accuracy"]}
    assert evaluate_run(opened, "train").result.logs == pytest.approx(garden.figures(garden.training), rel=1e-5)


def test_predicting_gives_the_probabilities_and_the_class_by_name(garden: Garden) -> None:
    by_hand = garden.outputs(garden.others)
    found = predict_run(open_run(garden.run), "test")
    assert list(found.columns) == ["class", "p(iris)", "p(rose)", "p(tulip)"]
    np.testing.assert_allclose(np.stack([found.columns[f"p({k})"] for k in KINDS], 1), by_hand, rtol=2e-5)
    assert found.columns["class"].tolist() == [KINDS[n] for n in by_hand.argmax(1)]
    np.testing.assert_array_equal(found.outputs["out"][:, 1], found.columns["p(rose)"])
    assert (found.rows, found.non_finite_rows) == (30, 0)


def test_raw_rows_are_predicted_without_the_target_and_with_words_that_are_new(garden: Garden, tmp_path: Path) -> None:
    rows = [{name: row[name] for name in ("width", "place", "length")} for row in garden.others]
    rows[3]["place"] = "the moon"
    found = predict_run(open_run(garden.run), str(write_rows(tmp_path / "new.csv", rows)))
    by_hand = garden.outputs(rows)
    np.testing.assert_allclose(found.outputs["out"], by_hand, rtol=2e-5)


def test_rows_are_predicted_one_by_one_as_together(garden: Garden, tmp_path: Path) -> None:
    opened = open_run(garden.run)
    together = predict_run(opened, "test").outputs["out"]
    alone = predict_run(opened, str(write_rows(tmp_path / "one.csv", garden.others[4:5]))).outputs["out"]
    np.testing.assert_allclose(alone, together[4:5], rtol=1e-5)


def test_a_raw_file_is_evaluated_like_the_split(garden: Garden) -> None:
    opened = open_run(garden.run)
    split, file = (evaluate_run(opened, what) for what in ("test", str(garden.folder / "others.csv")))
    assert file.result.logs == split.result.logs
    (scores,) = file.class_scores
    assert scores.names == KINDS
    truth = [KINDS.index(row["kind"]) for row in garden.others]
    said = garden.outputs(garden.others).argmax(1).tolist()
    by_hand = np.zeros((3, 3), dtype=int)
    np.add.at(by_hand, (truth, said), 1)
    np.testing.assert_array_equal(scores.matrix, by_hand)


def test_a_label_that_was_not_in_training_is_refused_with_its_row(garden: Garden, tmp_path: Path) -> None:
    rows = [dict(row) for row in garden.others]
    rows[5]["kind"] = "weed"
    path = write_rows(tmp_path / "new.csv", rows)
    with pytest.raises(DataError, match="'weed'") as caught:
        evaluate_run(open_run(garden.run), str(path))
    assert str(caught.value.faults[0].place).endswith("new.csv:7:kind")
    assert predict_run(open_run(garden.run), str(path)).rows == 30


def test_a_run_folder_that_was_moved_still_predicts_and_its_data_is_not_needed(garden: Garden, tmp_path: Path) -> None:
    path = shutil.copytree(garden.run.path, tmp_path / "elsewhere")
    rows = write_rows(tmp_path / "rows.csv", garden.others)
    moved = open_run(RunRecord.open(path))
    found = predict_run(moved, str(rows)).outputs["out"]
    np.testing.assert_array_equal(found, predict_run(open_run(garden.run), "test").outputs["out"])
    assert evaluate_run(moved, str(rows)).result.logs == garden.run.facts()["results"]["test"]
    with pytest.raises(DataError, match=r"flowers\.csv"):
        evaluate_run(moved, "test")


def test_an_unknown_split_or_file_is_reported(garden: Garden) -> None:
    with pytest.raises(ConfigError, match="no file and no split 'tets'; did you mean 'test'"):
        evaluate_run(open_run(garden.run), "tets")


def said(capsys: pytest.CaptureFixture[str], run: RunRecord, what: str, **options: Any) -> list[dict[str, str]]:
    """Return the command's output as rows."""
    settings = {"output": None, "classes": False, "keras_names": False, "view": None, "checkpoint": None}
    settings |= {"device": "cpu", "threads": None, "runs_dir": Path("runs")}
    predict_command(str(run.path), [what], **{**settings, **options})
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def test_the_command_prints_all_columns_or_the_classes_alone(
    garden: Garden, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = garden.outputs(garden.others)
    whole = said(capsys, garden.run, "test")
    assert list(whole[0]) == ["class", "p(iris)", "p(rose)", "p(tulip)"]
    assert [float(row["p(rose)"]) for row in whole] == pytest.approx(by_hand[:, 1].tolist(), rel=2e-5)
    assert said(capsys, garden.run, "test", classes=True) == [{"class": KINDS[n]} for n in by_hand.argmax(1)]


# Other kinds of models


def arrays(folder: Path, name: str = "data.npz", rows: int = 40, **more: np.ndarray) -> dict[str, np.ndarray]:
    """Write an npz file with `x` (rows, 4) and other arrays by name."""
    x = np.random.default_rng(7).normal(size=(rows, 4)).astype(np.float32)
    data = {"x": x, **more}
    np.savez(folder / name, allow_pickle=False, **data)  # type: ignore[arg-type]
    return data


LINEAR = """
seed: 4
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {size: []}}
model: {layers: [{dense: {units: 2, name: out}}]}
compile: {optimizer: {adam: 0.05}, loss: mse, metrics: [mae]}
fit: {epochs: 2, batch_size: 8}
"""


@pytest.mark.parametrize(("units", "columns"), [(1, ["size"]), (2, ["size[0]", "size[1]"])])
def test_numbers_are_predicted_under_the_target_s_name(
    tmp_path: Path, units: int, columns: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = arrays(tmp_path, size=np.ones((40, units), dtype=np.float32))
    run, _ = train(write(tmp_path, LINEAR.replace("units: 2", f"units: {units}")), tmp_path / "runs")
    w = load_tensors(run.weights())
    by_hand = torch.from_numpy(data["x"]) @ w["out/kernel"] + w["out/bias"]
    found = predict_run(open_run(run), str(tmp_path / "data.npz"))
    assert list(found.columns) == columns
    np.testing.assert_allclose(np.stack(list(found.columns.values()), 1), by_hand, rtol=1e-4, atol=1e-6)
    logs = evaluate_run(open_run(run), "train").result.logs
    assert logs["loss"] == pytest.approx((by_hand - 1).square().mean().item(), rel=1e-5)
    assert logs["mae"] == pytest.approx((by_hand - 1).abs().mean().item(), rel=1e-5)
    with pytest.raises(ConfigError, match="--classes: this model predicts no classes"):
        said(capsys, run, "train", classes=True)


def test_a_lone_array_is_what_a_model_of_one_input_takes(tmp_path: Path) -> None:
    data = arrays(tmp_path, size=np.ones((40, 2), dtype=np.float32))
    run, _ = train(write(tmp_path, LINEAR), tmp_path / "runs")
    np.save(tmp_path / "x.npy", data["x"], allow_pickle=False)
    alone, named = (predict_run(open_run(run), str(tmp_path / name)) for name in ("x.npy", "data.npz"))
    np.testing.assert_array_equal(alone.outputs["out"], named.outputs["out"])


def test_several_outputs_have_columns_by_their_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    words = np.array(["low", "high"])[rng.integers(0, 2, 40)]
    data = arrays(tmp_path, level=words, kind=rng.integers(0, 3, 40), size=rng.normal(size=(40, 2)).astype(np.float32))
    config = """
seed: 4
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {level: [string_lookup], kind: [], size: []}}
model:
  inputs: {x: [4]}
  layers:
    - dense: {units: 1, inputs: x, name: level}
    - dense: {units: 3, inputs: x, activation: softmax, name: kind}
    - dense: {units: 2, inputs: x, name: size}
  outputs: [level, kind, size]
compile:
  loss: {level: {binary_crossentropy: {from_logits: true}}, kind: sparse_categorical_crossentropy, size: mse}
fit: {epochs: 1, batch_size: 8}
"""
    run, _ = train(write(tmp_path, config), tmp_path / "runs")
    found = predict_run(open_run(run), "train")
    kinds = ["kind.class", "kind.p(0)", "kind.p(1)", "kind.p(2)"]
    assert list(found.columns) == ["level.class", "level.p(high)", "level.p(low)", *kinds, "size[0]", "size[1]"]
    w, x = load_tensors(run.weights()), torch.from_numpy(data["x"])
    low = torch.sigmoid(x @ w["level/kernel"] + w["level/bias"])[:, 0]
    np.testing.assert_allclose(found.columns["level.p(low)"], low, rtol=1e-4)
    assert found.columns["level.class"].tolist() == ["low" if p > 0.5 else "high" for p in low]
    most = (x @ w["kind/kernel"] + w["kind/bias"]).argmax(1)
    assert found.columns["kind.class"].tolist() == [str(number) for number in most.tolist()]
    by_output = {each.output: each for each in evaluate_run(open_run(run), "train").class_scores}
    assert list(by_output) == ["level", "kind"]
    right = (np.where(low.numpy() > 0.5, "low", "high") == words).sum()
    assert np.trace(by_output["level"].matrix) == right


def test_rows_of_a_class_that_the_loss_ignores_are_in_no_table(tmp_path: Path) -> None:
    size = np.arange(40, dtype=np.int64) % 3 - 1  # -1, 0, 1
    data = arrays(tmp_path, size=size)
    loss = "loss: {sparse_categorical_crossentropy: {ignore_class: -1, from_logits: true}}"
    run, _ = train(write(tmp_path, LINEAR.replace("loss: mse, metrics: [mae]", loss)), tmp_path / "runs")
    w = load_tensors(run.weights())
    most = (torch.from_numpy(data["x"]) @ w["out/kernel"] + w["out/bias"]).argmax(1).numpy()
    (scores,) = evaluate_run(open_run(run), "train").class_scores
    by_hand = [[int(((size == true) & (most == predicted)).sum()) for predicted in (0, 1)] for true in (0, 1)]
    assert scores.matrix.tolist() == by_hand


@pytest.mark.parametrize("loss", ["binary_crossentropy", "binary_focal_crossentropy"])
def test_labels_that_may_hold_at_once_are_not_taken_for_classes(tmp_path: Path, loss: str) -> None:
    arrays(tmp_path, tags=np.random.default_rng(1).integers(0, 2, (40, 3)).astype(np.float32))
    config = LINEAR.replace("size: []", "tags: []").replace("units: 2", "units: 3, activation: sigmoid")
    run, _ = train(write(tmp_path, config.replace("loss: mse", f"loss: {loss}")), tmp_path / "runs")
    assert list(predict_run(open_run(run), "train").columns) == ["tags[0]", "tags[1]", "tags[2]"]
    assert evaluate_run(open_run(run), "train").class_scores == ()


def test_class_weights_go_by_the_names_of_classes(garden: Garden, tmp_path: Path) -> None:
    by_name, by_number, without = (
        outcome(train(garden.folder / "config.yaml", tmp_path / str(index), sets)[0])
        for index, sets in enumerate((["fit.class_weight.rose=4"], ["fit.class_weight.1=4"], []))
    )
    assert by_name == by_number
    assert by_name != without


# The same numbers, again


def test_one_seed_gives_one_run_and_another_seed_another(tmp_path: Path) -> None:
    config = write(tmp_path, HARD)
    first, again, other = (
        outcome(train(config, tmp_path / str(index), ["fit.epochs=2", f"seed={seed}"])[0])
        for index, seed in enumerate((5, 5, 6))
    )
    assert first == again
    assert other[0] != first[0]
    assert other[1].keys() == first[1].keys()
    assert other[1]["dense/kernel"] != first[1]["dense/kernel"]


def test_a_drawn_seed_is_recorded_and_gives_the_run_again(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD.replace("seed: 5\n", "")), tmp_path / "runs", ["fit.epochs=2"])
    again, _ = train(run.resolved_path, tmp_path / "again")
    assert run.facts()["seed"] == again.facts()["seed"]
    assert outcome(again) == outcome(run)


def test_half_precision_computes_in_half_and_keeps_weights_and_metrics_in_full(tmp_path: Path) -> None:
    config = write(tmp_path, HARD.replace("spread: 6.0", "spread: 1.0"))
    run, _ = train(config, tmp_path / "runs", ["fit.epochs=3", "compile.precision=mixed_bfloat16"])
    plain, _ = train(config, tmp_path / "full", ["fit.epochs=3"])
    weights = load_tensors(run.weights())
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert any(not torch.equal(weight.bfloat16().float(), weight) for weight in weights.values())
    losses, full = ([row["loss"] for row in each.history()] for each in (run, plain))
    assert losses != full
    assert losses == pytest.approx(full, rel=0.1)
    assert losses[-1] < losses[0] / 2
    outputs = predict_run(open_run(run), "validation").outputs["dense_1"]
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(1), 1, atol=0.02)


def test_epochs_count_from_initial_epoch(tmp_path: Path) -> None:
    run, events = train(write(tmp_path, HARD), tmp_path, ["fit.epochs=5", "fit.initial_epoch=3"])
    assert [row["epoch"] for row in run.history()] == [4, 5]
    assert [(event.epoch, event.epochs) for event in only(events, EpochBegin)] == [(4, 5), (5, 5)]
    assert not only(go_on(run), EpochBegin)


# Callbacks, all the way

CALLBACKS = HARD.replace("use_ema: true, ", "").replace("learning_rate: 0.01", "learning_rate: 0.2")


def test_early_stopping_ends_with_the_best_epoch_s_weights(tmp_path: Path) -> None:
    run, events = train(write(tmp_path, CALLBACKS), tmp_path, ["fit.epochs=60"])
    values = [row["val_loss"] for row in run.history()]
    best = int(np.argmin(values))
    assert len(values) == best + 1 + 6 < 60
    assert run.status() == "stopped"
    assert run.facts()["reason"] == "early stopping: 'val_loss' has not improved for 6 epochs"
    assert only(events, Stopped) == [Stopped("callback", run.facts()["reason"], len(values))]
    assert evaluate_run(open_run(run), "validation").result.logs["loss"] == values[best]


def test_a_plateau_lowers_the_rate_that_history_tells(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, CALLBACKS), tmp_path, ["fit.epochs=60"])
    rate, best, wait = 0.2, math.inf, 0
    for row in run.history():
        assert row["learning_rate"] == pytest.approx(rate, rel=1e-12)
        if row["val_loss"] < best - 1e-4:
            best, wait = row["val_loss"], 0
            continue
        wait += 1
        if wait == 1:
            rate, wait = rate * 0.5, 0
    assert rate < 0.1


def test_the_best_checkpoint_opens_with_the_best_weights(tmp_path: Path) -> None:
    config = CALLBACKS.replace("monitor: val_accuracy", "monitor: val_loss").replace("restore_best_weights: true", "")
    run, _ = train(write(tmp_path, config), tmp_path, ["fit.epochs=60"])
    values = [row["val_loss"] for row in run.history()]
    final, best = (
        evaluate_run(open_run(run, checkpoint=name), "validation").result.logs["loss"] for name in (None, "best")
    )
    assert final == values[-1]
    assert best == min(values) < final


def with_callbacks(folder: Path, *written: str) -> Path:
    before, after = HARD.split("  callbacks:\n")
    assert after.count("- ") == 4
    return write(folder, before + "  callbacks:\n" + "".join(f"    - {each}\n" for each in written))


def test_checkpoints_of_batches_are_kept_and_a_run_goes_on_from_any_moment(tmp_path: Path) -> None:
    path = with_callbacks(tmp_path, "model_checkpoint: {save_freq: 20}", "backup_and_restore", "progbar_logger")
    run, _ = train(path, tmp_path, ["fit.epochs=2"])
    assert run.checkpoints.slots() == ["backup", "batch-00000020", "batch-00000040", "batch-00000060"]
    kept = run.checkpoints.named("batch-00000040")
    assert (kept.step, kept.facts["epoch"], kept.facts["batch"]) == (40, 1, 8)
    assert run.checkpoints.named("backup").step == 64


def test_averages_that_are_not_kept_cannot_be_evaluated(tmp_path: Path) -> None:
    path = with_callbacks(tmp_path, "swap_ema_weights")
    with pytest.raises(ConfigError, match="swap_ema_weights needs moving averages of the weights") as refused:
        train(path, tmp_path, ["compile.optimizer.adam.use_ema=false"])
    assert refused.value.faults[0].hint == "set use_ema: true on adam"


class Listener(BaseHTTPRequestHandler):
    heard: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_metrics_reach_a_server_and_one_that_is_away_is_reported_once(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        there = f"http://127.0.0.1:{server.server_port}"
        away = "http://127.0.0.1:9"
        path = with_callbacks(
            tmp_path, f'remote_monitor: {{root: "{there}", send_as_json: true}}', f'remote_monitor: "{away}"'
        )
        run, events = train(path, tmp_path, ["fit.epochs=3"])
        server.shutdown()
        thread.join()
    columns = ("accuracy", "loss", "val_accuracy", "val_loss")
    assert Listener.heard == [
        {"epoch": row["epoch"] - 1, **{name: row[name] for name in columns}} for row in run.history()
    ]
    warnings = [note.text for note in only(events, Note) if note.level == "warning"]
    assert [text.partition(": ")[0] for text in warnings] == ["remote_monitor"]
    assert f"could not send metrics to {away}/publish/epoch/end/" in warnings[0]


def test_tensorboard_reads_what_a_run_and_its_resumption_wrote(tmp_path: Path) -> None:
    reading = library("tensorboard.backend.event_processing.event_accumulator")
    path = with_callbacks(tmp_path, "tensorboard: {histogram_freq: 1, update_freq: 10}")
    run, _ = train(path, tmp_path, ["fit.epochs=2"])
    go_on(run, ["fit.epochs=3"])
    found = {}
    for split in ("train", "validation"):
        folder = run.path / "logs" / "tensorboard" / split
        found[split] = reading.EventAccumulator(str(folder), size_guidance={"histograms": 0}).Reload()  # 0: all
    for split, tag, column in (("train", "epoch_loss", "loss"), ("validation", "epoch_accuracy", "val_accuracy")):
        points = found[split].Scalars(tag)
        assert [point.step for point in points] == [0, 1, 2]
        assert [point.value for point in points] == pytest.approx([row[column] for row in run.history()], rel=1e-6)
    assert [point.step for point in found["train"].Scalars("batch_loss")] == list(range(10, 97, 10))
    assert [point.step for point in found["train"].Histograms("dense/kernel")] == [0, 1, 2]


def test_a_csv_log_has_a_row_an_epoch(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, CALLBACKS), tmp_path, ["fit.epochs=3"])
    log = run.log("log.csv")
    assert log is not None
    rows = list(csv.DictReader(log.splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for row, own in zip(rows, run.history(), strict=True):
        assert {name: float(row[name]) for name in row if name != "epoch"} == {
            name: own[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")
        }


@pytest.mark.parametrize("text", ["loss\n0.5\n", "epoch,loss\nx,0.5\n", "epoch,loss\n0\n\n,1\n", 'epoch\n"0\n'])
def test_a_damaged_csv_log_is_refused_when_a_row_is_added(tmp_path: Path, text: str) -> None:
    run, _ = train(write(tmp_path, CALLBACKS), tmp_path, ["fit.epochs=1"])
    run.write_log("log.csv", text)
    with pytest.raises(FileRefused, match=r"the run's log 'log\.csv' is damaged: expected the number of an 'epoch'"):
        go_on(run, ["fit.epochs=2"])
    assert run.log("log.csv") == text


# What goes wrong

DIVERGES = """
seed: 1
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {size: []}}
model: {layers: [{dense: {units: 4, name: a}}, {batch_normalization: {name: norm}}, {dense: {units: 2, name: out}}]}
compile: {optimizer: {sgd: 0.01}, loss: mse}
fit: {epochs: 2, batch_size: 10, shuffle: false}
"""


def diverging(folder: Path) -> Path:
    """Write a config whose third batch has a value that overflows."""
    data = arrays(folder, size=np.ones((40, 2), dtype=np.float32))
    data["x"][25] = 3e38
    np.savez(folder / "data.npz", allow_pickle=False, **data)  # type: ignore[arg-type]
    return write(folder, DIVERGES)


def test_a_loss_that_is_not_finite_fails_the_run_and_leaves_the_last_good_weights(tmp_path: Path) -> None:
    config = diverging(tmp_path)
    with pytest.raises(TrainingStopped) as caught:
        train(config, tmp_path / "runs")
    assert caught.value.exit_code == 5
    run = find_run("latest", tmp_path / "runs")
    where = "the loss became nan or infinite at epoch 1, step 3"
    assert str(caught.value) == f"{where}; the last finite weights are saved in {run.path}"
    assert caught.value.faults[0].hint
    assert run.status() == "failed"
    assert run.facts()["reason"] == str(caught.value)
    good, _ = train(config, tmp_path / "good", ["fit.epochs=1", "fit.steps_per_epoch=2"])
    assert outcome(run)[1] == outcome(good)[1], "moving statistics too"
    assert predict_run(open_run(run), "train").non_finite_rows == 1


def test_the_command_says_where_it_stopped_and_exits_with_5(tmp_path: Path) -> None:
    diverging(tmp_path)
    ran = forked_kerascli("train", "config.yaml", cwd=tmp_path)
    assert ran.returncode == 5
    assert ran.stdout == ""
    error, hint = ran.stderr.splitlines()[-2:]
    where = f"runs/{find_run('latest', tmp_path / 'runs').folder_name}"
    text = "the loss became nan or infinite at epoch 1, step 3; the last finite weights are saved in"
    assert error == f"error: {text} {where}"
    assert hint.startswith("  hint: lower the learning rate")


def test_a_run_that_failed_fails_again_in_the_same_place(tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped):
        train(diverging(tmp_path), tmp_path / "runs")
    run = find_run("latest", tmp_path / "runs")
    with pytest.raises(TrainingStopped, match="epoch 1, step 3"):
        go_on(run)
    assert run.status() == "failed"


def test_terminate_on_nan_changes_nothing_about_that(tmp_path: Path) -> None:
    config = diverging(tmp_path)
    with pytest.raises(TrainingStopped, match="epoch 1, step 3"):
        train(config, tmp_path / "runs", ["fit.callbacks=[terminate_on_nan]"])
    calm, _ = train(
        write(tmp_path, HARD, "calm.yaml"), tmp_path / "calm", ["fit.epochs=1", "fit.callbacks=[terminate_on_nan]"]
    )
    assert calm.status() == "completed"


def failing_at(step: int, error: Exception) -> Callable[..., Any]:
    """Return `Trainer.step`, except for one step that raises."""
    real = Trainer.step

    def fails(self: Trainer, batch: Any, number: int) -> Any:
        if number == step:
            raise error
        return real(self, batch, number)

    return fails


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmany lines more"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_a_run_that_finds_no_memory_fails_with_advice_and_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    config = write(tmp_path, HARD)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", failing_at(70, error))
        with pytest.raises(TrainingStopped) as caught:
            train(config, tmp_path / "runs", ["fit.epochs=3"])
    assert caught.value.exit_code == 5
    text = str(caught.value)
    assert text.startswith("the device is out of memory: ")
    assert str(error).splitlines()[0] in text
    assert "\n" not in text
    assert caught.value.faults[0].hint == "a smaller fit.batch_size needs less"
    run = find_run("latest", tmp_path / "runs")
    assert (run.status(), run.facts()["reason"]) == ("failed", text)
    go_on(run)
    assert run.status() == "completed"
    assert run.facts()["reason"] is None
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=3"])
    assert outcome(run) == outcome(whole)


def test_any_other_error_is_not_taken_for_a_lack_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "step", failing_at(3, RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        train(write(tmp_path, HARD), tmp_path / "runs")


def test_runs_that_cannot_be_written_are_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    events = start(open_config(write(tmp_path, HARD)), Options(runs_dir=tmp_path / "file" / "runs"))
    seen: list[Event] = []
    with pytest.raises(StorageError) as caught:
        seen.extend(_noted(events, seen))
    assert caught.value.exit_code == 6
    assert not [event for event in seen if not isinstance(event, Note)]


def _noted(events: Iterator[Event], seen: list[Event]) -> Iterator[Event]:
    for event in events:
        seen.append(event)
        yield event


def test_two_processes_never_hold_one_run(tmp_path: Path) -> None:
    events = start(open_config(write(tmp_path, HARD)), Options(runs_dir=tmp_path / "runs"))
    began = next(event for event in events if isinstance(event, Began))
    run = RunRecord.open(Path(began.run))
    assert run.status() == "running"
    ran = forked_kerascli("train", "--resume", "latest", cwd=tmp_path)
    assert ran.returncode == 6
    assert "is in use by" in ran.stderr
    events.close()  # type: ignore[attr-defined]
    assert run.status() == "killed"
    go_on(run, ["fit.epochs=1"])
    assert run.status() == "completed"


def test_a_run_imports_the_plugins_it_was_made_with_and_no_others(tmp_path: Path) -> None:
    plugin = write(tmp_path, "WAS_RUN = True\n", "mine.py")
    run, _ = train(write(tmp_path, f"plugins: [{plugin.name}]\n" + HARD), tmp_path / "runs", ["fit.epochs=1"])
    canary = tmp_path / "canary"
    write(run.path / "plugins", f"open({str(canary)!r}, 'w').close()\n", "evil.py")
    resolved = run.resolved().replace("plugins: [plugins/mine.py]", "plugins: [plugins/mine.py, plugins/evil.py]")
    assert resolved != run.resolved()
    run.write_resolved(resolved)
    for use in (lambda: open_run(run), lambda: go_on(run)):
        with pytest.raises(FileRefused, match="names other plugins than the run was made with"):
            use()
    assert not canary.exists()


def test_plugins_of_one_name_are_refused_before_a_run_is_made(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, "", "parts.py")
    with pytest.raises(ConfigError, match=r"two files are called 'parts\.py'"):
        train(write(tmp_path, "plugins: [one/parts.py, two/parts.py]\n" + HARD), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_weights_that_no_loss_depends_on_cannot_be_trained(tmp_path: Path) -> None:
    frozen = HARD.replace("units: 24,", "units: 24, trainable: false,").replace(
        "units: 4,", "units: 4, trainable: false,"
    )
    frozen = frozen.replace("- batch_normalization", "- batch_normalization: {trainable: false}")
    with pytest.raises(ConfigError, match="nothing to fit"):
        train(write(tmp_path, frozen), tmp_path / "runs")


@pytest.mark.parametrize("mode", ["false", "true"])
def test_trainable_weights_that_no_loss_depends_on_are_nothing_to_fit(mode: str, tmp_path: Path) -> None:
    text = (
        "seed: 1\ndata: {source: {blobs: {rows: 40}}, inputs: {x: []}, targets: {y: []}}\n"
        "model:\n  layers:\n    - dense: {units: 3, trainable: false, inputs: x, name: y}\n"
        "    - dense: {units: 2, inputs: x, name: other}\n  outputs: [y, other]\n"
        "compile:\n  loss: {y: {sparse_categorical_crossentropy: {from_logits: true}}}\n  optimizer: sgd\n"
        f"  jit_compile: {mode}\nfit: {{epochs: 1}}\n"
    )
    with pytest.raises(ConfigError, match="no loss depends on a trainable weight: there is nothing to fit"):
        train(write(tmp_path, text), tmp_path / "runs")


def test_a_misspelt_key_is_reported_before_the_data_is_read(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        "data: {source: {csv: nowhere.csv}, inputs: {a: []}, targets: {b: []}}\n"
        "model: {layers: [{dense: {unit: 1}}]}\ncompile: {loss: mse, optimizer: {adm: 1}}\nfit: {epocs: 2}\n",
    )
    with pytest.raises(ConfigError) as caught:
        train(config, tmp_path / "runs")
    assert [fault.place and fault.place.line for fault in caught.value.faults] == [2, 3, 4]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            '{expr: "take(x, [0, 9], axis=1)"}',
            "'expr' cannot be computed with the values that it got: take cannot take (None, 6)",
        ),
        (
            '{expr: "cholesky(-x[:, :2, None] @ x[:, None, :2])[:, 0]"}',
            "'expr' cannot be computed with the values that it got: cholesky",
        ),
        (
            "{expr: \"cast(abs(x) * 9 + 9, 'int64')\"}, {embedding: {input_dim: 3, output_dim: 2}}, flatten",
            "'embedding' cannot be computed with the values that it got: index out of range",
        ),
    ],
)
def test_numbers_that_a_layer_cannot_be_computed_with_stop_a_training_in_one_sentence(
    layers: str, said: str, tmp_path: Path
) -> None:
    text = HARD.replace("  layers:\n", f"  layers:\n    - repeat: {{times: 1, layers: [{layers}]}}\n")
    events = start(open_config(write(tmp_path, text)), Options(runs_dir=tmp_path / "runs"))
    with pytest.raises(TrainingStopped, match=re.escape(said)):
        list(events)
    run = find_run("latest", tmp_path / "runs")
    assert run.status() == "failed"
