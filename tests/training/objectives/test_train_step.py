"""Several updates per step, each with its own optimizer, compared with a custom train_step in Keras."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
import yaml
from keras.src.backend.common import dtypes
from safetensors.numpy import load

from kerascli.compiler import program as programs
from kerascli.config.data import load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.resolved import resolved_config
from kerascli.foundation import draws
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError, FileRefused, TrainingStopped
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.several import Optimizers
from kerascli.optimizers.sgd import SGD
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.training import execution_mode
from kerascli.training.build import Experiment
from kerascli.training.evaluate import EvaluatedBatches, evaluate
from kerascli.training.execution_mode import make_runner
from kerascli.training.forward_pass import Eager, Request, largest_difference
from kerascli.training.loop import train as train_loop
from kerascli.training.step import Progress
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.make_trainer import make_trainer
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.fitting.plan import make_plan, rows_in_order
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.fit_harness import Ours, prepare
from tests.support.runs_harness import go_on, outcome, outcome_of, train, write
from tests.workflow.test_resume import leave

ROWS, BATCH, NOISE, FEATURES = 24, 8, 3, 4

MODEL = """
data:
  source: {npz: data.npz}
  inputs: {x: [], noise: []}
model:
  shared:
    generator:
      inputs: {noise: [3]}
      layers: [{dense: {units: 6, activation: tanh}}, batch_normalization, {dense: 4}]
    discriminator:
      inputs: {sample: [4]}
      layers: [{dense: {units: 5, activation: tanh}}, batch_normalization, {dense: 1}]
  outputs: generator
"""
CALLS = [
    {"generator": {"inputs": "noise", "name": "fake"}},
    {"discriminator": {"inputs": "x", "name": "on_real"}},
    {"discriminator": {"inputs": "fake", "name": "on_fake"}},
]
BCE = {"binary_crossentropy": {"from_logits": True}}


def steps(optimizer: Any, *, simultaneous: bool, repeat: int = 1) -> str:
    """A config of a GAN: the discriminator's update, then the generator's."""
    critic = {
        "name": "critic", "train": "discriminator", "optimizer": optimizer, "layers": CALLS, "repeat": repeat,
        "loss": {
            "real": {"loss": BCE, "y_true": 1, "y_pred": "on_real"},
            "fake": {"loss": BCE, "y_true": 0, "y_pred": "on_fake", "weight": 0.5},
        },
    }  # fmt: skip
    forger = {
        "name": "forger", "train": ["generator"], "optimizer": optimizer,
        "loss": {
            "fooled": {"loss": BCE, "y_true": 1, "y_pred": "on_fake"},
            "near": {"loss": "mae", "y_true": "x", "y_pred": "fake", "weight": 10},
        },
        **({} if simultaneous else {"layers": [CALLS[0], CALLS[2]]}),
    }  # fmt: skip
    fit = {"epochs": 1, "batch_size": BATCH, "train_step": [critic, forger]}
    return MODEL + yaml.safe_dump({"compile": {"jit_compile": False}, "fit": fit})


class Gan(keras.Model):
    """A GAN in Keras with a custom train_step; all layers are called with training=True."""

    def __init__(self, optimizer: dict[str, Any], *, simultaneous: bool, repeat: int) -> None:
        super().__init__()
        layers = keras.layers
        self.generator = keras.Sequential([
            layers.Input((NOISE,)), layers.Dense(6, "tanh", name="dense"),
            layers.BatchNormalization(name="batch_normalization"), layers.Dense(FEATURES, name="dense_1"),
        ])  # fmt: skip
        self.discriminator = keras.Sequential([
            layers.Input((FEATURES,)), layers.Dense(5, "tanh", name="dense"),
            layers.BatchNormalization(name="batch_normalization"), layers.Dense(1, name="dense_1"),
        ])  # fmt: skip
        self.simultaneous, self.repeat = simultaneous, repeat
        self.critic, self.forger = (keras.optimizers.get(dict(optimizer)) for _ in range(2))
        self.bce = keras.losses.BinaryCrossentropy(from_logits=True)
        self.mae = keras.losses.MeanAbsoluteError()

    def parts(self) -> dict[str, keras.Sequential]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def learn(self, optimizer: Any, loss: Any, model: keras.Sequential) -> list[Any]:
        """Return the gradients of a loss, to apply later."""
        variables = model.trainable_variables
        return [optimizer, torch.autograd.grad(loss, [v.value for v in variables], retain_graph=True), variables]

    def apply(self, *pending: list[Any]) -> None:
        with torch.no_grad():
            for optimizer, gradients, variables in pending:
                optimizer.apply(gradients, variables)

    def judged(self, x: Any, noise: Any) -> tuple[Any, Any, Any]:
        """Return the generator's output, the discriminator's prediction for it, and the loss."""
        fake: Any = self.generator(noise, training=True)
        on_real: Any = self.discriminator(x, training=True)
        on_fake: Any = self.discriminator(fake, training=True)
        real, false = self.bce(torch.ones_like(on_real), on_real), self.bce(torch.zeros_like(on_fake), on_fake)
        return fake, on_fake, real + 0.5 * false  # type: ignore[operator]

    def train_step(self, data: Any) -> dict[str, Any]:
        x, noise = data[0]
        fake, on_fake, loss = self.judged(x, noise)
        first = self.learn(self.critic, loss, self.discriminator)
        if not self.simultaneous:
            self.apply(first)
            for _ in range(1, self.repeat):
                loss = self.judged(x, noise)[2]
                self.apply(self.learn(self.critic, loss, self.discriminator))
            fake = self.generator(noise, training=True)
            on_fake = self.discriminator(fake, training=True)
        second: Any = self.bce(torch.ones_like(on_fake), on_fake)
        second = second + 10 * self.mae(x, fake)  # type: ignore[operator]
        self.apply(*([first] if self.simultaneous else []), self.learn(self.forger, second, self.generator))
        return {"critic_loss": loss.item(), "forger_loss": second.item()}


def data_of(seed: int = 0) -> dict[str, np.ndarray]:
    """Return values of float32, as data has; the models compute in float64."""
    random = np.random.default_rng(seed)
    shapes = {"x": (ROWS, FEATURES), "noise": (ROWS, NOISE)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def weights_of(parts: Mapping[str, keras.Sequential]) -> dict[str, np.ndarray]:
    return {
        f"{part}/{layer.name}/{weight.name}": weight.value.detach().numpy().copy()
        for part, model in parts.items() for layer in model.layers for weight in layer.weights
    }  # fmt: skip


def train_ours(ours: Ours) -> Progress:
    plan = make_plan(ours.experiment, ours.prepared, {})
    trainer, _ = make_trainer(ours.experiment, plan)
    progress = Progress()
    list(train_loop(trainer, plan, progress))
    return progress


@pytest.fixture(autouse=True)
def _back_to_float32(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo Keras's casts of float64 to float32, which kerascli does not have."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    yield
    torch.set_default_dtype(torch.float32)
    keras.backend.set_floatx("float32")


# Keras keeps rates in float32: these are the same numbers there.
OPTIMIZERS = {
    "sgd": ({"sgd": {"learning_rate": 0.125, "momentum": 0.875}},
            {"class_name": "SGD", "config": {"learning_rate": 0.125, "momentum": 0.875}}),
    "adam": ({"adam": {"learning_rate": 0.015625, "beta_1": 0.5}},
             {"class_name": "Adam", "config": {"learning_rate": 0.015625, "beta_1": 0.5}}),
}  # fmt: skip


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(("simultaneous", "repeat"), [(True, 1), (False, 1), (False, 3)])
def test_three_steps_of_a_gan_are_those_of_a_train_step_in_keras(
    tmp_path: Path, optimizer: str, simultaneous: bool, repeat: int
) -> None:
    """Compare weights, moving statistics and losses; simultaneous, alternating, and with a repeated update."""
    mine, theirs = OPTIMIZERS[optimizer]
    keras.backend.set_floatx("float64")
    gan = Gan(theirs, simultaneous=simultaneous, repeat=repeat)
    gan.compile()
    data = data_of()
    ours = prepare(tmp_path, data, steps(mine, simultaneous=simultaneous, repeat=repeat))
    start = weights_of(gan.parts())
    assert {weight.name for weight in ours.experiment.weights} == set(start)
    for weight in ours.experiment.weights:
        weight.assign(torch.from_numpy(start[weight.name]))
    torch.set_default_dtype(torch.float64)
    progress = train_ours(ours)
    losses = []
    for first in range(0, ROWS, BATCH):
        rows = slice(first, first + BATCH)
        batch = tuple(torch.from_numpy(data[name][rows]).double() for name in ("x", "noise"))
        losses.append(gan.train_step((batch,)))
    end = weights_of(gan.parts())
    for weight in ours.experiment.weights:
        np.testing.assert_allclose(weight.keras().numpy(), end[weight.name], rtol=1e-9, atol=1e-9, err_msg=weight.name)
        assert not np.array_equal(start[weight.name], end[weight.name]), weight.name
    for name in ("critic_loss", "forger_loss"):
        wanted = np.mean([loss[name] for loss in losses])
        assert progress.row[name] == pytest.approx(wanted, rel=1e-9)


# Everything that makes it hard: noise, dropout, moving statistics, averages, repeats, formulas, callbacks.
HARD = """
seed: 3
data:
  source: {blobs: {rows: 96, features: 4, classes: 3, seed: 3}}
  inputs: {x: []}
  targets: {kind: [{columns: y}]}
model:
  shared:
    generator: {inputs: {z: [5]}, layers: [{dense: {units: 8, activation: relu}}, batch_normalization, {dense: 4}]}
    trunk: {layers: [{dense: {units: 8, activation: relu}}, {dropout: 0.3}]}
    score: {dense: {units: 1, kernel_regularizer: {l2: 0.01}}}
    classes: {dense: 3}
  outputs: generator
fit:
  epochs: 4
  batch_size: 16
  validation_split: 0.25
  callbacks:
    - early_stopping: {monitor: val_forger_loss, patience: 9, restore_best_weights: true}
    - reduce_lr_on_plateau: {monitor: val_critic_loss, patience: 0, min_delta: 1.0, update: critic}
    - model_checkpoint: {monitor: val_critic_of_class, save_best_only: true}
  train_step:
    - name: critic
      train: [trunk, score, classes]
      optimizer: {adam: {learning_rate: 0.01, beta_1: 0.5, clipnorm: 1.0}}
      repeat: 2
      layers:
        - expr: {value: "random_normal([batch_size, 5])", name: z}
        - generator: {inputs: z, name: fake}
        - trunk: {inputs: x, name: seen}
        - score: {inputs: seen, name: on_real}
        - classes: {inputs: seen, name: class}
        - trunk: fake
        - score: {name: on_fake}
        - add_loss: {value: "square(on_real)", name: drift, weight: 0.001}
      loss:
        real: {loss: {binary_crossentropy: {from_logits: true}}, y_true: 1, y_pred: on_real}
        fake: {loss: {binary_crossentropy: {from_logits: true}}, y_true: 0, y_pred: on_fake}
        of_class: {loss: {sparse_categorical_crossentropy: {from_logits: true}}, y_true: kind, y_pred: class}
      metrics:
        accuracy: {metric: sparse_categorical_accuracy, y_true: kind, y_pred: class}
    - name: forger
      train: generator
      optimizer: {adam: {learning_rate: 0.005, use_ema: true, ema_momentum: 0.9}}
      layers:
        - repeat: {times: 1, index: i, layers: [{expr: {value: "random_normal([batch_size, 5])", name: "z_$(i)"}}]}
        - generator: {inputs: prev, name: fake}
        - trunk
        - score: {name: on_fake}
      loss:
        fooled: {loss: {binary_crossentropy: {from_logits: true}}, y_true: 1, y_pred: on_fake}
        size: {expr: "mean(square(fake), axis=-1)", weight: 0.1}
"""


def hard(folder: Path, *sets: str) -> tuple[Experiment, Any, Any]:
    config = open_config(write(folder, HARD), sets=sets)
    prepared = load_config_data(config)
    experiment = build_phase(make_phase(config, prepared), Choice("cpu", "a test"))
    return experiment, prepared, make_plan(experiment, prepared, {})


def read_csv(run: RunRecord) -> list[str]:
    return list(run.history()[0])


def test_history_has_the_metrics_of_every_update(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs")
    critic = ["loss", "real", "fake", "of_class", "drift", "accuracy"]
    figures = [f"critic_{name}" for name in critic] + ["forger_loss", "forger_fooled", "forger_size"]
    rates = ["critic_learning_rate", "forger_learning_rate"]
    assert read_csv(run) == ["epoch", *figures, *(f"val_{name}" for name in figures), *rates, "epoch_seconds"]


def test_a_loss_is_the_weighted_sum_of_its_parts(tmp_path: Path) -> None:
    """Including losses that layers add, and penalties of the weights that the update trains."""
    experiment, prepared, _ = hard(tmp_path)
    found = outcome_of(
        evaluate(
            experiment.module,
            EvaluatedBatches(rows_in_order(experiment, prepared.splits["validation"]).epoch(0)),
            seed=3,
        )
    )
    kernel = next(weight for weight in experiment.weights if weight.name == "score/kernel")
    parts = found["critic_real"] + found["critic_fake"] + found["critic_of_class"] + 0.001 * found["critic_drift"]
    assert found["critic_loss"] == pytest.approx(parts + 0.01 * kernel.tensor.square().sum().item(), rel=1e-5)
    assert found["forger_loss"] == pytest.approx(found["forger_fooled"] + 0.1 * found["forger_size"], rel=1e-5)


def test_a_run_that_was_left_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    config = write(tmp_path, HARD)
    whole, _ = train(config, tmp_path / "whole")
    left, _ = train(config, tmp_path / "left", ["fit.epochs=2"])
    go_on(left, ["fit.epochs=4"])
    assert outcome(left) == outcome(whole)
    assert whole.history()[0]["critic_learning_rate"] > whole.history()[-1]["critic_learning_rate"]
    assert {row["forger_learning_rate"] for row in whole.history()} == {0.005}


@pytest.mark.parametrize("stop_at", [1, 7])
def test_a_run_that_was_left_within_an_epoch_goes_on_to_the_last_bit(tmp_path: Path, stop_at: int) -> None:
    config = write(tmp_path, HARD)
    whole, _ = train(config, tmp_path / "whole")
    leave(config, tmp_path / "left", stop_at)
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_an_update_changes_what_it_trains_alone(tmp_path: Path) -> None:
    """Except moving statistics, which belong to the call, as in Keras."""
    experiment, _, plan = hard(tmp_path, "fit.train_step[1].optimizer={sgd: 1e-30}")
    before = {weight.name: weight.tensor.clone() for weight in experiment.weights}
    trainer, _ = make_trainer(experiment, plan)
    trainer.step(next(iter(plan.batches(0, 0))), 0)
    changed = {w.name for w in experiment.weights if not torch.allclose(w.tensor, before[w.name], 0.0, 1e-20)}
    parts = ("trunk/", "score/", "classes/", "generator/batch_normalization/moving")
    assert changed == {name for name in before if name.startswith(parts)}


def test_updates_that_are_repeated_draw_anew(tmp_path: Path) -> None:
    experiment, _, plan = hard(tmp_path)
    trainer, _ = make_trainer(experiment, plan)
    seen: list[str] = []
    make = draws.Draws.__init__

    def noting(self: Any, seed: int, stream: str, *rest: Any) -> None:
        seen.append(stream)
        make(self, seed, stream, *rest)

    batch = next(iter(plan.batches(0, 0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws.Draws, "__init__", noting)
        trainer.step(batch, 0)
    assert seen == ["train/critic/1", "train/critic", "train/forger"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_traced_pass_is_the_module_s_pass(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "onednn_is_faster", lambda: False)
    monkeypatch.setattr(programs, "fits_one_thread", lambda _: False)  # as many threads as the module
    experiment, _, plan = hard(tmp_path, "compile={jit_compile: false}")
    experiment.module.train()
    batches = [batch for batch, _ in zip(plan.batches(0, 0), range(2), strict=False)]
    forward_pass = experiment.forward_passes[number]
    runner, choice = make_runner(Request(forward_pass, batches, 10, jit_compile=False))
    assert choice == Choice("traced", "jit_compile is false")
    module = Eager(forward_pass)
    for step, batch in enumerate(plan.batches(0, 0)):
        found, wanted = (run(batch, draws.Draws(1, "train", step)) for run in (runner, module))
        assert largest_difference(found, wanted) == 0.0


def test_passes_run_in_the_mode_that_a_run_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run has that mode for all of them."""
    monkeypatch.setattr(
        execution_mode,
        "reason_not_to_trace",
        lambda request, _: "a test" if request.forward_pass.updates[0].name == "forger" else None,
    )
    experiment, _, plan = hard(tmp_path, "compile={jit_compile: false}")
    trainer, choice = make_trainer(experiment, plan)
    assert choice == Choice("eager", "forger: a test")
    assert [type(run) for _, run in trainer.passes] == [Eager, Eager]


def test_simultaneous_updates_are_one_program(tmp_path: Path) -> None:
    ours = prepare(tmp_path, data_of(), steps("adam", simultaneous=True))
    assert len(ours.experiment.forward_passes) == 1
    assert [update.name for update in ours.experiment.forward_passes[0].updates] == ["critic", "forger"]


def test_a_loss_that_is_no_number_stops_all_updates(tmp_path: Path) -> None:
    """One bad update ends the training after this step; weights stay finite."""
    experiment, _, plan = hard(tmp_path, 'fit.train_step[1].loss.size.expr="mean(log(fake - 100), axis=-1)"')
    trainer, _ = make_trainer(experiment, plan)
    progress = Progress()
    with pytest.raises(TrainingStopped, match="nan or infinite at epoch 1, step 1"):
        list(train_loop(trainer, plan, progress))
    counts = {name: optimizer.iterations for name, optimizer in trainer.optimizers.by_name.items()}
    assert counts == {"critic": 2, "forger": 0}
    assert all(weight.tensor.isfinite().all() for weight in experiment.weights)


def test_a_run_evaluates_every_loss_and_predicts_from_its_own_inputs(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"])
    opened = open_run(run)
    before = [weight.tensor.clone() for weight in opened.experiment.weights]
    found = evaluate_rows(opened, rows_of(opened, "validation", targets=True), "validation").result.logs
    training = opened.experiment.spec.training
    assert training is not None
    assert list(found) == list(training.log_names())
    for weight, kept in zip(opened.experiment.weights, before, strict=True):
        assert torch.equal(weight.tensor, kept)
    np.savez(tmp_path / "z.npz", z=np.zeros((3, 5), np.float32))
    assert predict_run(opened, str(tmp_path / "z.npz")).outputs["generator"].shape == (3, 4)


def test_the_resolved_config_reads_back_equal(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"])
    specs = []
    for path in (tmp_path / "config.yaml", run.resolved_path):
        config = open_config(path, sets=["fit.epochs=1"])
        prepared = load_config_data(config)
        spec = describe_config(config, prepared.facts, {name: split.rows for name, split in prepared.splits.items()})
        specs.append(resolved_config(config, [spec], tmp_path))
    assert specs[0] == specs[1]
    assert "random_normal([batch_size, 5])" in run.resolved_path.read_text(encoding="utf-8")


LAYERWISE = """
data:
  source: {npz: data.npz}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - dense: {units: 6, activation: tanh, name: low}
    - dense: {units: 1, name: high}
compile: {jit_compile: false}
fit:
  epochs: 2
  batch_size: 8
  train_step:
    - {name: slow, train: low, optimizer: {sgd: 0.01}, loss: {mse: {loss: mse, y_true: y, y_pred: high}}}
    - {name: fast, train: high, optimizer: {adam: 0.05}, loss: {mse: {loss: mse, y_true: targets.y, y_pred: high}}}
"""


def test_an_update_without_layers_sees_the_model_s_own_nodes(tmp_path: Path) -> None:
    """Two optimizers for one model, compared with plain torch; one loss is a formula that names the target.

    Adam has its epsilon of 1e-7 here, which counts beside small gradients, and no such thing there.
    """
    random = np.random.default_rng(1)
    data = {"x": random.normal(size=(ROWS, 4)), "y": random.normal(size=(ROWS, 1))}
    formula = '{expr: "mean(square(high - targets.y), axis=-1)"}'
    ours = prepare(tmp_path, data, "seed: 4\n" + LAYERWISE.replace("{loss: mse, y_true: y, y_pred: high}", formula))
    torch.set_default_dtype(torch.float64)
    weights = {weight.name: weight for weight in ours.experiment.weights}
    low, high = torch.nn.Linear(4, 6), torch.nn.Linear(6, 1)
    with torch.no_grad():
        for name, layer in (("low", low), ("high", high)):
            layer.weight.copy_(weights[f"{name}/kernel"].keras().T)
            layer.bias.copy_(weights[f"{name}/bias"].keras())
    train_ours(ours)
    slow, fast = torch.optim.SGD(low.parameters(), 0.01), torch.optim.Adam(high.parameters(), 0.05, eps=1e-300)
    for _ in range(2):
        for first in range(0, ROWS, 8):
            x, y = (torch.from_numpy(data[name][first : first + 8]) for name in ("x", "y"))
            loss = (high(torch.tanh(low(x))) - y).square().mean()
            slow.zero_grad()
            fast.zero_grad()
            loss.backward()
            slow.step()
            fast.step()
    np.testing.assert_allclose(weights["low/kernel"].keras().numpy(), low.weight.detach().T.numpy(), atol=2e-4)
    np.testing.assert_allclose(weights["high/kernel"].keras().numpy(), high.weight.detach().T.numpy(), atol=2e-4)


def test_an_ordinary_fit_is_the_case_of_one_update(tmp_path: Path) -> None:
    """The same model, loss and optimizer, once in compile and once as an update: the same weights."""
    random = np.random.default_rng(1)
    data = {"x": random.normal(size=(ROWS, 4)), "y": random.normal(size=(ROWS, 1))}
    head, _, _ = LAYERWISE.partition("compile:")
    alone = head + "compile: {jit_compile: false, optimizer: {adam: 0.05}, loss: mse}\nfit: {epochs: 2, batch_size: 8}"
    update = (
        "{name: one, train: [low, high], optimizer: {adam: 0.05}, loss: {mse: {loss: mse, y_true: y, y_pred: high}}}"
    )
    listed = f"compile: {{jit_compile: false}}\nfit: {{epochs: 2, batch_size: 8, train_step: [{update}]}}"
    found = []
    for number, text in enumerate((alone, head + listed)):
        folder = tmp_path / str(number)
        folder.mkdir()
        ours = prepare(folder, data, "seed: 4\n" + text)
        torch.set_default_dtype(torch.float64)
        train_ours(ours)
        torch.set_default_dtype(torch.float32)
        found.append({weight.name: weight.keras().clone() for weight in ours.experiment.weights})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


ADDED = """
seed: 4
data: {source: {npz: d.npz}, inputs: {x: []}, targets: {y: []}}
model:
  shared:
    net:
      layers:
        - dense: {units: 5, activation: tanh, name: h}
        - weight: {shape: [5], initializer: zeros, trainable: false, name: seen}
        - update: {weight: seen, value: "0.9 * seen + 0.1 * mean(h, axis=0)"}
        - expr: {value: "h - seen", name: centred}
        - dense: 1
  layers:
    - net: {inputs: x, name: o}
"""
OF_THE_MODEL = """\
    - add_loss: {value: "mean(square(o), axis=-1)", name: size, weight: 0.3}
    - add_metric: {value: "mean(abs(o), axis=-1)", name: mean_abs}
"""


@pytest.mark.parametrize("layers", ["", "layers: [{net: {inputs: x, name: p}}], "])
def test_losses_metrics_and_updates_of_the_model_are_those_of_compile(tmp_path: Path, layers: str) -> None:
    """An update without layers runs the model itself; one with layers may call what updates a weight."""
    random = np.random.default_rng(1)
    np.savez(tmp_path / "d.npz", x=random.normal(size=(12, 3)), y=random.normal(size=(12, 1)))
    loss = f"{{mse: {{loss: mse, y_true: y, y_pred: {'p' if layers else 'o'}}}}}"
    update = f"{{name: one, train: net, optimizer: {{sgd: 0.05}}, {layers}loss: {loss}}}"
    model = ADDED if layers else ADDED + OF_THE_MODEL
    texts = [
        f"{model}compile: {{loss: mse, optimizer: {{sgd: 0.05}}}}\nfit: {{epochs: 2, batch_size: 4}}",
        f"{model}fit: {{epochs: 2, batch_size: 4, train_step: [{update}]}}",
    ]
    compiled, stepped = (train(write(tmp_path, text, f"{len(text)}.yaml"), tmp_path / "runs")[0] for text in texts)
    named = {"one_loss": "loss"} | ({} if layers else {"one_size": "size", "one_mean_abs": "mean_abs"})
    for row, wanted in zip(stepped.history(), compiled.history(), strict=True):
        assert {name: row[name] for name in named} == pytest.approx(
            {name: wanted[other] for name, other in named.items()}, rel=1e-6
        )


CALLING = """
seed: 4
flags: {times: 1}
data: {source: {npz: d.npz}, inputs: {x: []}, targets: {y: []}}
model:
  shared:
    core: {layers: [{dense: {units: 4, name: q}}]}
    net: {layers: [{core: {}}, {dense: {units: 1, name: p}}]}
  layers: [{net: {inputs: x, name: o}}]
"""
UPDATE = "name: one, train: net, optimizer: {sgd: 0.05}, repeat: $times, loss: {mse: {loss: mse, y_true: y, y_pred: o}}"


def test_a_shared_model_is_trained_with_those_that_it_calls(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    np.savez(tmp_path / "d.npz", x=random.normal(size=(12, 3)), y=random.normal(size=(12, 1)))
    fit = "{epochs: 2, batch_size: 4"
    compiled, _ = train(
        write(tmp_path, f"{CALLING}compile: {{loss: mse, optimizer: {{sgd: 0.05}}}}\nfit: {fit}}}"), tmp_path / "a"
    )
    stepped, _ = train(write(tmp_path, f"{CALLING}fit: {fit}, train_step: [{{{UPDATE}}}]}}"), tmp_path / "b")
    ours, theirs = load(stepped.weights()), load(compiled.weights())
    assert {name.partition("/")[0] for name in ours} == {"core", "net"}
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    other = f"{{{UPDATE}}}, {{{UPDATE.replace('name: one, train: net', 'name: two, train: o2')}}}"
    two = CALLING.replace("  layers: [{net: {inputs: x, name: o}}]", """\
    o2: {layers: [{core: {}}, {dense: 1}]}
  layers: [{net: {inputs: x, name: o}}, {o2: {inputs: x, name: other}}]
  outputs: [o, other]""")  # fmt: skip
    with pytest.raises(ConfigError, match="'core' is called by what 'one' and 'two' train: a weight has one optimizer"):
        train(write(tmp_path, f"{two}fit: {fit}, train_step: [{other}]}}"), tmp_path / "c")


def test_sample_weights_count_where_their_target_is_right(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    data = {"x": random.normal(size=(8, 4)), "y": random.normal(size=(8, 1)), "w": random.uniform(size=8)}
    text = LAYERWISE.replace("  targets: {y: []}", "  targets: {y: []}\n  sample_weight: {y: [{columns: w}]}")
    ours = prepare(tmp_path, data, text)
    torch.set_default_dtype(torch.float64)
    batches = rows_in_order(ours.experiment, ours.prepared.splits["train"]).epoch(0)
    found = outcome_of(evaluate(ours.experiment.module, EvaluatedBatches(batches), seed=0))
    weights = {weight.name: weight.keras().numpy() for weight in ours.experiment.weights}
    hidden = np.tanh(data["x"] @ weights["low/kernel"] + weights["low/bias"])
    errors = (hidden @ weights["high/kernel"] + weights["high/bias"] - data["y"])[:, 0] ** 2
    assert found["slow_mse"] == pytest.approx((errors * data["w"]).mean(), rel=1e-6)


def test_a_scheduler_without_an_update_sets_every_rate(tmp_path: Path) -> None:
    sets = ['fit.callbacks=[{learning_rate_scheduler: "lr * 0.5"}]', "fit.epochs=2"]
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs", sets)
    rates = [(row["critic_learning_rate"], row["forger_learning_rate"]) for row in run.history()]
    assert rates == [(0.005, 0.0025), (0.0025, 0.00125)]


def test_validations_on_averages_swap_where_there_are_some(tmp_path: Path) -> None:
    """The forger averages its weights, the critic does not; training is the same with and without averages."""
    plain, _ = train(write(tmp_path, HARD), tmp_path / "plain", ["fit.callbacks=[]"])
    swapped, _ = train(write(tmp_path, HARD), tmp_path / "swapped", ["fit.callbacks=[swap_ema_weights]"])
    assert outcome(swapped)[1] == outcome(plain)[1]
    last = [run.history()[-1] for run in (plain, swapped)]
    assert last[0]["val_forger_size"] != last[1]["val_forger_size"]
    assert last[0]["val_critic_real"] == last[1]["val_critic_real"]


def test_half_precision_trains(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs", ["compile={precision: mixed_bfloat16}", "fit.epochs=1"])
    assert all(np.isfinite(value) for value in run.history()[0].values())


def test_a_profile_names_the_layers_of_every_update(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=2"], profile=True)
    text = (run.path / "profile" / "summary.txt").read_text(encoding="utf-8")
    assert "critic: " in text
    assert "forger: " in text


def test_a_checkpoint_of_another_list_of_updates_is_refused() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))

    class Plain:
        constraint = None

        def to_keras(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor

    one = Optimizers({"critic": FlatOptimizer(SGD(), [("dense/kernel", weight, Plain())])})
    state = one.state()
    assert set(state) == {"critic/iterations", "critic/learning_rate"}
    with pytest.raises(FileRefused, match="is missing"):
        one.load_state_dict({name.replace("critic", "judge"): value for name, value in state.items()})
    one.load_state_dict(state)
