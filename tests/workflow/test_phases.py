"""Training in phases, compared with Keras; kills and resumes change nothing."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import layers, optimizers
from keras.src.backend.common import dtypes

from kerascli.config.config import Config
from kerascli.config.data import config_facts
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.resolved import resolved_config
from kerascli.config.yaml.dump import dump_yaml
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.events import BatchEnd, EpochEnd, Event, PhaseBegin, Stopped
from kerascli.report.plots import plot_history
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.training import build as building
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting import saver
from kerascli.workflow.loaded import open_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.train import Options, start
from tests.support.chaos import train_with_kills
from tests.support.runs_harness import HARD, go_on, outcome, train, write

MODEL = """
data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}
model:
  shared:
    base:
      layers:
        - dense: {units: 6, activation: tanh, name: one}
        - batch_normalization: {momentum: 0.8, name: norm}
        - dense: {units: 5, activation: tanh, name: two}
  layers:
    - base
    - dense: {units: 3, activation: softmax, name: top}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.02}, metrics: [accuracy]}
"""

PHASED = HARD.replace(
    "  epochs: 20\n",
    """  epochs: 2
  phases:
    - {trainable: {dense: false}}
    - {epochs: 3, trainable: {dense: true}, compile: {optimizer: {adam: {learning_rate: 0.005}}}}
    - {epochs: 2, batch_size: 32, callbacks: [{csv_logger: {filename: last.csv}}]}
""",
)


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    torch.set_default_dtype(torch.float64)
    yield
    keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


def keras_model() -> tuple[keras.Model, keras.Model]:
    """Return Keras's model for MODEL with random weights, and its base."""
    base = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, "tanh", name="one"),
            layers.BatchNormalization(momentum=0.8, name="norm"),
            layers.Dense(5, "tanh", name="two"),
        ],
        name="base",
    )
    model = keras.Sequential([keras.Input((4,)), base, layers.Dense(3, "softmax", name="top")])
    rng = np.random.default_rng(1)
    for weight in model.weights:
        noise = rng.normal(size=weight.shape) * 0.3
        weight.assign(np.abs(noise) + 0.5 if "variance" in weight.name else weight.value.detach().numpy() + noise)
    return model, base


def named(model: keras.Model, base: keras.Model) -> dict[str, np.ndarray]:
    """Return Keras's weights by our names."""
    inner = {f"base/{layer.name}/{w.name}": w for layer in base.layers for w in layer.weights}
    own = {f"top/{w.name}": w for w in model.get_layer("top").weights}
    return {name: weight.value.detach().numpy().copy() for name, weight in {**inner, **own}.items()}


def rows(count: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    return x, (x @ rng.normal(size=(4, 3))).argmax(1)


def trained(folder: Path, fit: str, first: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """Train MODEL in float64 from Keras's weights; return the run."""
    x, y = rows()
    np.savez(folder / "data.npz", x=x, y=y)

    def materialize(module: Any, weights: Any, **_: Any) -> None:
        module.to_empty(device="cpu").double()
        for weight in weights:
            weight.assign(torch.from_numpy(first[weight.name]))
            if isinstance(weight.tensor, torch.nn.Parameter):
                weight.tensor.requires_grad_(weight.trainable)

    monkeypatch.setattr(building, "materialize", materialize)
    return train(write(folder, MODEL + fit), folder / "runs")[0]


def assert_weights(run: RunRecord, wanted: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import load

    got = load(run.weights())
    assert got.keys() == wanted.keys()
    for name, weight in wanted.items():
        np.testing.assert_allclose(got[name], weight, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(
    ("trainable", "frozen"),
    [
        ("{base: false}", ["one", "norm", "two"]),
        ("{base.norm: false}", ["norm"]),
        ('{"base.*": false, base.two: true}', ["one", "norm"]),
        ("{base.one..norm: false}", ["one", "norm"]),
        ("{base.two: true, base: false, base.one: true, base.norm: true}", ["two"]),
    ],
)
def test_what_is_frozen_stays_as_in_keras_and_batch_normalization_infers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: str, frozen: list[str]
) -> None:
    model, base = keras_model()
    first = named(model, base)
    run = trained(
        tmp_path, f"fit: {{epochs: 2, batch_size: 8, shuffle: false, trainable: {trainable}}}", first, monkeypatch
    )
    for layer in base.layers:
        layer.trainable = layer.name not in frozen
    model.compile(optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(*rows(), epochs=2, batch_size=8, shuffle=False, verbose=0).history  # type: ignore[arg-type]
    np.testing.assert_allclose([row["loss"] for row in run.history()], history["loss"], rtol=1e-9)
    after = named(model, base)
    assert_weights(run, after)
    moved = {name.split("/")[1] for name in after if name.startswith("base/") and (after[name] != first[name]).any()}
    assert moved == {"one", "norm", "two"} - set(frozen)


TWO = """
fit:
  epochs: 2
  batch_size: 8
  shuffle: false
  phases:
    - {trainable: {base: false}}
    - {trainable: {base.t*: true, base.norm: true}, compile: {optimizer: {sgd: 0.05}}, batch_size: 12}
"""


@pytest.mark.usefixtures("in_float64")
def test_two_phases_are_two_fits_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, base = keras_model()
    run = trained(tmp_path, TWO, named(model, base), monkeypatch)
    base.trainable = False
    model.compile(optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    x, y = rows()
    losses = model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]  # type: ignore[arg-type]
    base.trainable = True
    base.get_layer("one").trainable = False
    model.compile(optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    losses += model.fit(x, y, epochs=2, batch_size=12, shuffle=False, verbose=0).history["loss"]  # type: ignore[arg-type]
    np.testing.assert_allclose([row["loss"] for row in run.history()], losses, rtol=1e-9)
    assert_weights(run, named(model, base))
    assert [(row["epoch"], row["phase"]) for row in run.history()] == [(1, 1), (2, 1), (3, 2), (4, 2)]


@pytest.mark.usefixtures("in_float64")
def test_a_phase_that_compiles_nothing_goes_on_with_its_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, base = keras_model()
    fit = "fit: {epochs: 2, shuffle: false, phases: [{batch_size: 8}, {batch_size: 12, class_weight: {0: 3.0}}]}"
    run = trained(tmp_path, fit, named(model, base), monkeypatch)
    model.compile(optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    x, y = rows()
    model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)  # type: ignore[arg-type]
    weights = {0: 3.0, 1: 1.0, 2: 1.0}
    model.fit(x, y, epochs=2, batch_size=12, shuffle=False, verbose=0, class_weight=weights)  # type: ignore[arg-type]
    assert_weights(run, named(model, base))


def test_a_run_in_phases_killed_at_random_moments_ends_bit_identical(tmp_path: Path) -> None:
    config = write(tmp_path, PHASED)
    train_with_kills(config, tmp_path / "chaos", 8, 3)
    chaos, (calm, _) = find_run("latest", tmp_path / "chaos"), train(config, tmp_path / "calm")
    assert outcome(chaos) == outcome(calm)
    assert chaos.log("log.csv") == calm.log("log.csv")
    assert [row["phase"] for row in calm.history()] == [1, 1, 2, 2, 2, 3, 3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Run through all phases that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return train(write(folder, PHASED), folder)[0]


@pytest.mark.parametrize("moment", ["end of phase 1", "first step of phase 2", "middle of phase 2", "phase 3"])
def test_a_run_left_in_any_phase_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, whole: RunRecord
) -> None:
    config = write(tmp_path, PHASED)
    monkeypatch.setattr(saver, "BATCH_SECONDS", -1.0)
    steps = {"end of phase 1": 64, "first step of phase 2": 65, "middle of phase 2": 110, "phase 3": 170}[moment]
    events = start(open_config(config), Options(runs_dir=tmp_path / "left"))
    seen = 0
    for event in events:
        seen += isinstance(event, BatchEnd)
        if seen == steps and type(event).__name__ == "Saved":
            break
    events.close()  # type: ignore[attr-defined]
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_phases_are_announced_and_callbacks_begin_anew(tmp_path: Path) -> None:
    stop = "{early_stopping: {monitor: loss, patience: 1, min_delta: 100}}"
    text = f"  epochs: 4\n  phases: [{{callbacks: [{stop}]}}, {{epochs: 2, callbacks: []}}]\n"
    run, events = train(write(tmp_path, HARD.replace("  epochs: 20\n", text)), tmp_path / "runs")
    begun = [event for event in events if isinstance(event, PhaseBegin)]
    assert [(event.number, event.of, event.epochs, event.fresh) for event in begun] == [
        (1, 2, 4, True), (2, 2, 2, False),
    ]  # fmt: skip
    assert [(row["epoch"], row["phase"]) for row in run.history()] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert sum(isinstance(event, Stopped) for event in events) == 1
    assert run.facts()["status"] == "completed"


def test_a_finished_run_in_phases_is_evaluated_by_its_last_phase(tmp_path: Path) -> None:
    text = HARD.replace(
        "  epochs: 20\n",
        "  epochs: 1\n  phases: [{}, {compile: {metrics: [{sparse_top_k_categorical_accuracy: {k: 2, name: top}}]}}]\n",
    )
    text = text.replace("monitor: val_accuracy", "monitor: val_loss")
    run, _ = train(write(tmp_path, text), tmp_path / "runs")
    opened = open_run(run)
    assert set(evaluate_rows(opened, rows_of(opened, "validation", targets=True), "v").result.logs) == {"loss", "top"}
    events = go_on(run)
    assert not [event for event in events if isinstance(event, EpochEnd)]
    with pytest.raises(ConfigError, match="the epochs of a run with phases cannot be changed"):
        go_on(run, ["fit.epochs=9"])


def test_limits_act_in_every_phase(tmp_path: Path) -> None:
    limits = {"epochs": 1, "steps_per_epoch": 2, "validation_steps": 1}
    run, events = train(write(tmp_path, PHASED), tmp_path / "runs", limits=limits)
    assert [row["phase"] for row in run.history()] == [1, 2, 3]
    assert sum(isinstance(event, BatchEnd) for event in events) == 6


def described(config: Config) -> list[Any]:
    return [describe_config(phase, config_facts(phase)) for phase in config.phases]


@pytest.mark.parametrize(
    "phases",
    [
        "[{}, {class_weight: {1: 2.0}, callbacks: [terminate_on_nan]}, {class_weight: null}]",
        "[{compile: {optimizer: {sgd: {learning_rate: {cosine_decay: {initial_learning_rate: 0.1, decay_steps: 9}}}}}},"
        " {compile: {optimizer: {sgd: {learning_rate: 0.2, clipnorm: 1.0}}}}, {compile: {optimizer: adam}}]",
        "[{trainable: {dense: false}}, {trainable: {dense_1: false, dense: true}}, {trainable: {dense: false}}]",
        "[{data: {source: {blobs: {rows: 320}}}}, {compile: {loss: {sparse_categorical_crossentropy: "
        "{from_logits: true}}, metrics: []}, validation_split: 0.1}, {data: {inputs: {x: []}}, shuffle: false}]",
    ],
)
def test_what_is_dumped_reads_back_equal(tmp_path: Path, phases: str) -> None:
    text = HARD.replace("  epochs: 20\n", f"  epochs: 2\n  class_weight: {{0: 2.0}}\n  phases: {phases}\n")
    text = text[: text.index("  callbacks:\n")]
    config = open_config(write(tmp_path, text))
    wanted = described(config)
    dumped = dump_yaml(resolved_config(config, wanted, tmp_path))
    again = open_config(write(tmp_path, dumped, "resolved.yaml"))
    for one, other in zip(wanted, found := described(again), strict=True):
        assert (one.model, one.fit, one.compile, one.data) == (other.model, other.fit, other.compile, other.data)
        assert list(one.fit.trainable.items()) == list(other.fit.trainable.items())
    assert dump_yaml(resolved_config(again, found, tmp_path)) == dumped


def test_models_of_different_sizes_cannot_be_phases_of_one(tmp_path: Path) -> None:
    text = HARD.replace("units: 4", "units: $targets.y.num_classes").replace(
        "  epochs: 20\n", "  epochs: 1\n  phases: [{}, {data: {source: {blobs: {classes: 5}}}}]\n"
    )
    events: Iterator[Event] = start(open_config(write(tmp_path, text)), Options(runs_dir=tmp_path / "runs"))
    with pytest.raises(ConfigError, match=r"phase 2 cannot begin .* 'dense_1/kernel' has \(24, 4\), then \(24, 5\)"):
        list(events)


def test_lora_of_a_layer_keeps_its_rank_in_all_phases(tmp_path: Path) -> None:
    text = """
flags: {r: 2}
data: {source: {blobs: {rows: 20, features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 4, lora_rank: $r}}, {dense: 3}]}
compile: {loss: {sparse_categorical_crossentropy: {from_logits: true}}}
fit: {epochs: 1, phases: [{}, {flags: {r: 4}}]}
"""
    with pytest.raises(ConfigError, match=r"'dense/lora_kernel_\w' has \(4, 2\), then \(4, 4\)"):
        train(write(tmp_path, text), tmp_path / "runs")


def test_a_plot_marks_where_a_phase_begins() -> None:
    rows = [{"epoch": n, "phase": 1 + (n > 2), "loss": 1.0 / n} for n in (1, 2, 3, 4)]
    (axes,) = plot_history([("run", rows)]).axes
    dotted = [line.get_xdata() for line in axes.lines if line.get_linestyle() == ":"]
    assert [list(each) for each in dotted] == [[2.5, 2.5]]  # type: ignore[arg-type]
