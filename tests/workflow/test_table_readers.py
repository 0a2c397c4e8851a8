"""A run does not depend on which reader parsed its table: records, results, and resuming with the other one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kerascli.data.storage.delimited import csv_text
from kerascli.runs.record import RunRecord
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.needs import library
from tests.support.runs_harness import go_on, outcome, train, write

CONFIG = """
seed: 3
data:
  source: {csv: {path: t.csv, na_values: [NA], dtypes: {zip: text}}}
  split: {validation: 0.2, stratify: kind}
  inputs:
    numbers: [{columns: [a, b, on]}, {impute: median}, normalization]
    zip: [{hashing: {num_bins: 8, output_mode: one_hot}}]
    words: [{columns: text}, {text_vectorization: {output_mode: tf_idf}}]
  targets:
    kind: [string_lookup]
model:
  layers:
    - concatenate: [numbers, zip, words]
    - dense: {units: 4, activation: relu}
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy]}
fit: {epochs: 2, batch_size: 16, validation_data: validation}
"""

Choose = Callable[[str], None]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    library("pyarrow")
    return lambda reader: monkeypatch.setattr(csv_text, "LARGE_BYTES", 0 if reader == "pyarrow" else 2**40)


def a_table(folder: Path) -> Path:
    random = np.random.default_rng(0)
    lines = ["a,b,on,zip,text,kind"]
    for row in range(200):
        a = "NA" if row % 17 == 0 else f"{random.normal():.6f}"
        words = " ".join(random.choice(["nail", "screw", "bolt", "nut"], 3))
        kind = ("x", "y", "z")[row % 3]
        lines.append(f'{a},{random.integers(99)},{"true" if row % 2 else "false"},{row % 12:05d},"{words}",{kind}')
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return write(folder, CONFIG)


def records(run: RunRecord) -> tuple[str, object, bytes, bytes]:
    folder = run.path / "preprocessing"
    learned = (folder / "preprocessing.json").read_bytes(), (folder / "preprocessing.npz").read_bytes()
    return run.resolved(), run.facts()["data"], *learned


def test_a_run_is_the_same_with_either_reader(tmp_path: Path, choose: Choose) -> None:
    config = a_table(tmp_path)
    choose("pyarrow")
    one, _ = train(config, tmp_path / "one")
    choose("built-in")
    other, _ = train(config, tmp_path / "other")
    assert outcome(one) == outcome(other)
    assert records(one) == records(other)
    found = []
    for reader in ("pyarrow", "built-in"):
        choose(reader)
        predicted = predict_run(open_run(one), str(tmp_path / "t.csv"), keep=["a", "zip", "on"]).table()
        found.append({name: values.tolist() for name, values in predicted.items()})
    assert str(found[0]) == str(found[1])


@pytest.mark.parametrize("readers", [("pyarrow", "built-in"), ("built-in", "pyarrow")])
def test_a_run_resumes_with_the_other_reader(tmp_path: Path, choose: Choose, readers: tuple[str, str]) -> None:
    config = a_table(tmp_path)
    choose(readers[0])
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=3"])
    short, _ = train(config, tmp_path / "short", ["fit.epochs=2"])
    choose(readers[1])
    go_on(short, ["fit.epochs=3"])
    assert outcome(short) == outcome(whole)
