"""Every command of the program once, on one small run of a model of text."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.report.page import server

CONFIG = """
seed: 1
data:
  source: {text_windows: {path: text.txt, sequence_length: 4}}
  split: {test: 0.2}
  inputs: {text: [{text_vectorization: {split: character, standardize: null}}]}
  targets: {next: [string_lookup]}
model:
  layers:
    - embedding: {input_dim: $inputs.text.vocabulary_size, output_dim: 3}
    - flatten
    - dense: {units: $targets.next.num_classes, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy], jit_compile: false}
fit: {epochs: 2, validation_split: 0.2, callbacks: [{generate_text: {length: 4}}]}
tune: {objective: val_loss, sampler: random, trials: 1, set: {fit.batch_size: [32, 64]}}
"""
COMMANDS = {
    "train": ["config.yaml", "--device", "cpu"],
    "evaluate": ["latest", "--device", "cpu"],
    "predict": ["latest", "test", "--device", "cpu", "-o", "predictions.csv"],
    "why": ["latest", "test", "--method", "integrated_gradients", "--rows", "2"],
    "generate": ["latest", "--prompt", "abcd", "--length", "3"],
    "samples": ["latest"],
    "export": ["latest", "--format", "keras", "-o", "model.keras"],
    "import": ["model.keras", "--runs-dir", "imported"],
    "summary": ["config.yaml"],
    "plot": ["latest", "-o", "plot.png"],
    "report": ["latest", "-o", "report.html"],
    "watch": ["latest"],
    "validate": ["config.yaml"],
    "init": ["new.yaml"],
    "list": ["layers"],
    "explain": ["dense"],
    "schema": ["-o", "schema.json"],
    "runs": [],
    "tune": ["config.yaml"],
    "studies": [],
}
"""Command -> arguments that make it end well, in an order in which each finds what it needs."""
FILES = {
    "predictions.csv",
    "model.keras",
    "imported",
    "plot.png",
    "report.html",
    "new.yaml",
    "schema.json",
    "runs",
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2
def test_every_command_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server.Server, "serve_forever", lambda self: None)
    Path("text.txt").write_text("abcdefgh" * 10, encoding="utf-8")
    Path("config.yaml").write_text(CONFIG, encoding="utf-8")
    for command, arguments in COMMANDS.items():
        done = CliRunner().invoke(app, [command, *arguments])
        assert done.exit_code == 0, (command, done.output, done.exception)
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "config.yaml", *FILES}


def test_every_command_is_among_them() -> None:
    assert COMMANDS.keys() == typer.main.get_command(app).commands.keys()  # pyright: ignore[reportAttributeAccessIssue]
