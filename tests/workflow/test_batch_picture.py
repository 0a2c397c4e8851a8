"""The plot of a training batch: what the model is fed, as the first step of a training gets it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.config.load import open_config
from kerascli.foundation import draws
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.report.pictures import plot_batch
from kerascli.report.plots import smoothed
from kerascli.training.build import build_experiment
from kerascli.training.forward_pass import Eager
from kerascli.training.objectives.train_step import GraphStep
from kerascli.workflow.fitting.phases import prepare_phases
from kerascli.workflow.fitting.plan import make_plan
from kerascli.workflow.rows.batch_picture import batch_picture
from tests.support.runs_harness import command, train, write

PICTURES = """
seed: 3
data:
  source: {npz: {path: t.npz}}
  inputs: {image: [{rescaling: $(1/255)}, random_flip, {random_contrast: {factor: 0.5}}], age: [normalization]}
  targets: {y: [string_lookup, to_categorical]}
  augment: [{mix_up: {alpha: 0.4}}]
model:
  layers:
    - {flatten: {inputs: image}}
    - concatenate: [flatten, age]
    - dense: {units: 3, activation: softmax}
compile: {loss: categorical_crossentropy, optimizer: adam}
fit: {epochs: 1, batch_size: 40}
"""

TABLE = """
data:
  source: {csv: {path: t.csv}}
  inputs:
    sizes: [{columns: [a, b]}]
    text: [{text_vectorization: {output_sequence_length: 4, max_tokens: 4}}]
  targets: {y: [string_lookup]}
model:
  layers:
    - {embedding: {input_dim: 8, output_dim: 2, inputs: text}}
    - flatten
    - concatenate: [flatten, sizes]
    - {dense: {units: 1, activation: sigmoid}}
compile: {loss: binary_crossentropy}
fit: {epochs: 1, batch_size: 4, shuffle: false}
"""


def test_it_is_what_the_first_step_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", image=random.integers(0, 256, (60, 16, 16, 1), np.uint8),
             age=random.normal(size=(60, 1)), y=random.choice(["cat", "dog", "owl"], 60))  # fmt: skip
    config = write(tmp_path, PICTURES)
    fed: list[tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]] = []
    run_model = GraphStep.run

    def watched(self: GraphStep, inputs: Mapping[str, torch.Tensor], targets: Any = None) -> Any:
        if targets is not None and torch.is_grad_enabled() and inputs["image"].device.type != "meta":
            fed.append((dict(inputs), dict(targets)))
        return run_model(self, inputs, targets)

    monkeypatch.setattr(GraphStep, "run", watched)
    [phase] = prepare_phases(open_config(config))
    device = torch.device("cpu")
    experiment = build_experiment(phase.spec, phase.prepared, device=device, mixing=phase.prepared.mixing)
    [forward_pass] = experiment.forward_passes
    batch = next(iter(make_plan(experiment, phase.prepared, {}).batches(0, 0)))
    experiment.module.train()
    Eager(forward_pass)(batch, draws.Draws(phase.spec.seed, forward_pass.stream, 0))
    [(inputs, targets)] = fed
    made = batch_picture(open_config(config))
    assert made.pictures["image"].tolist() == inputs["image"][:32].tolist()
    [_, age] = made.columns
    assert [float(cell) for cell in age[1:]] == pytest.approx(inputs["age"][:32, 0].tolist(), rel=1e-4)
    for label, row in zip(made.labels, targets["y"].tolist(), strict=False):
        shares = {"cat": 0.0, "dog": 0.0, "owl": 0.0} | dict.fromkeys(label.split()[::2], 1.0)
        shares |= {name: float(share) for name, share in zip(label.split()[::2], label.split()[1::2], strict=False)}
        assert list(shares.values()) == pytest.approx(row, abs=0.006)
    assert made.title == "first 32 rows of a training batch of 40"
    for suffix in ("png", "svg"):
        command("plot", "--data", config, "-o", tmp_path / f"x.{suffix}")
        assert (tmp_path / f"x.{suffix}").stat().st_size > 5_000
    run, _ = train(config, tmp_path / "runs")
    assert command("plot", "--data", run.path).strip() == str(run.path / "plots" / "data.png")


def test_rows_are_a_table_and_texts_are_tokens(tmp_path: Path) -> None:
    write(tmp_path, "a,b,text,y\n1,2.5,red red dog,no\n3,4,red cat,yes\n5,6,dog,no\n7,8,owl,yes\n", "t.csv")
    made = batch_picture(open_config(write(tmp_path, TABLE)))
    assert made.columns == [
        ["row", "1", "2", "3", "4"], ["a", "1", "3", "5", "7"], ["b", "2.5", "4", "6", "8"],
        ["text", "red red dog _", "red [UNK] _ _", "dog _ _ _", "[UNK] _ _ _"], ["y", "no", "yes", "no", "yes"],
    ]  # fmt: skip
    assert made.pictures == {}
    assert plot_batch({}, made.labels, made.columns, made.title).get_size_inches()[1] < 2


def test_options_of_other_plots_and_missing_data_are_refused(tmp_path: Path) -> None:
    config, output = write(tmp_path, TABLE), ["-o", tmp_path / "x.png"]
    with pytest.raises(DataError, match=r"t\.csv"):
        command("plot", "--data", config, *output)
    for options, text in (
        (["--data", "--model"], "--data cannot be used with --model"),
        (["--data", "--smooth", "0.5"], "--smooth cannot be used with --data"),
        (["--data", "--expand"], "--expand can only be used with --model"),
        (["--set", "a=1"], "--set can only be used with --model"),
    ):
        with pytest.raises(ConfigError, match=text):
            command("plot", config, *options, *output)


def test_smoothing_is_a_weighted_mean_of_the_values_so_far() -> None:
    values = np.random.default_rng(0).normal(size=30).tolist()
    weights = 0.9 ** np.arange(30)
    expected = [np.average(values[: n + 1], weights=weights[n::-1]) for n in range(30)]
    assert smoothed(values, 0.9) == pytest.approx(expected)
    assert smoothed([1.0, float("nan"), 1.0], 0.5) == pytest.approx([1.0, float("nan"), 1.0], nan_ok=True)
