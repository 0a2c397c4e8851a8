"""Train a config here and a model in Keras, both in float64 from the same initial weights."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.foundation.device import Choice
from kerascli.foundation.events import EpochEnd
from kerascli.training.build import Experiment
from kerascli.training.evaluate import EvaluatedBatches, evaluate, predict
from kerascli.training.loop import train
from kerascli.training.step import Progress
from kerascli.workflow.fitting.make_trainer import make_trainer
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.fitting.plan import make_plan, rows_in_order
from tests.support.runs_harness import outcome_of

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trained:
    """Result of a training."""

    history: dict[str, list[float]]
    weights: dict[str, np.ndarray]
    evaluated: dict[str, float]
    predicted: dict[str, np.ndarray]


@dataclass(frozen=True)
class Ours:
    """A config with data and model in float64, before training."""

    experiment: Experiment
    prepared: PreparedData

    def take_weights(self, model: keras.Model) -> None:
        """Copy Keras's initial weights."""
        theirs = weights_of(model)
        assert {weight.name for weight in self.experiment.weights} == theirs.keys()
        for weight in self.experiment.weights:
            assert tuple(weight.spec.shape) == theirs[weight.name].shape
            weight.assign(torch.from_numpy(theirs[weight.name]))

    def train(self) -> Trained:
        experiment, seed = self.experiment, self.experiment.spec.seed
        torch.set_default_dtype(torch.float64)
        plan = make_plan(experiment, self.prepared, {})
        trainer, _ = make_trainer(experiment, plan)
        progress = Progress(epoch=experiment.spec.fit.initial_epoch)
        history = [dict(progress.row) for event in train(trainer, plan, progress) if isinstance(event, EpochEnd)]
        rows = rows_in_order(experiment, self.prepared.splits["train"])
        outputs = predict(experiment.module, EvaluatedBatches(rows.epoch(0)), seed=seed)
        own = ("epoch", "learning_rate", "epoch_seconds")
        names = {name: None for row in history for name in row if name not in own}
        return Trained(
            history={name: [row[name] for row in history if name in row] for name in names},
            weights={weight.name: weight.keras().numpy() for weight in experiment.weights},
            evaluated=outcome_of(evaluate(experiment.module, EvaluatedBatches(rows.epoch(0)), seed=seed)),
            predicted={name: value.numpy() for name, value in outputs.items()},
        )


def prepare(folder: Path, data: Arrays, config: str) -> Ours:
    """Prepare a training whose `config` reads data.npz, with batches in the order of the rows."""
    np.savez(folder / "data.npz", allow_pickle=False, **data)  # type: ignore[arg-type]
    path = folder / "config.yaml"
    path.write_text(config, encoding="utf-8")
    opened = open_config(path, sets=["fit.shuffle=false"])
    prepared = load_config_data(opened)
    experiment = build_phase(make_phase(opened, prepared), Choice("cpu", "a test"))
    experiment.module.double()  # the weights, still of float32
    return Ours(experiment, prepared)


def weights_of(model: keras.Model) -> Arrays:
    """Return a copy of all weights by `layer/weight`."""
    return {
        f"{layer.name}/{weight.name}": weight.value.detach().numpy().copy()
        for layer in model.layers
        for weight in layer.weights
    }


def train_keras(model: keras.Model, x: Any, y: Any, fit: dict[str, Any]) -> Trained:
    """Fit, evaluate and predict in Keras; `rows` in `fit` are evaluated instead of `x` and `y` if given."""
    fit = dict(fit)
    rows_x, rows_y = fit.pop("rows", (x, y))
    sizes = {"batch_size": fit.get("batch_size", 32), "verbose": 0}
    history = model.fit(x, y, shuffle=False, verbose=0, **fit).history  # type: ignore[arg-type]
    weights = fit.get("sample_weight")
    weights = None if weights is None else weights[: len(rows_x)]
    evaluated = model.evaluate(rows_x, rows_y, sample_weight=weights, return_dict=True, **sizes)
    outputs = model.predict(rows_x, **sizes)
    listed = outputs if isinstance(outputs, list) else [outputs]
    names = model.output_names if len(listed) > 1 else [model.layers[-1].name]
    return Trained(history, weights_of(model), evaluated, dict(zip(names, listed, strict=True)))


def assert_close(got: Any, wanted: Any, name: str) -> None:
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9, err_msg=name)


def assert_same(ours: Trained, theirs: Trained) -> None:
    assert set(ours.history) == set(theirs.history)
    for name, values in theirs.history.items():
        assert_close(ours.history[name], values, name)
    for name, weight in theirs.weights.items():
        assert_close(ours.weights[name], weight, name)
    assert set(ours.evaluated) == set(theirs.evaluated)
    for name, value in theirs.evaluated.items():
        assert_close(ours.evaluated[name], value, name)
    assert set(ours.predicted) == set(theirs.predicted)
    for name, output in theirs.predicted.items():
        assert output.dtype == np.float64
        assert_close(ours.predicted[name], output, name)


def compare(
    folder: Path, data: Arrays, config: str, model: keras.Model, x: Any, y: Any, **fit: Any
) -> tuple[Trained, Trained]:
    """Train on both sides from random initial weights of Keras; return both results."""
    ours = prepare(folder, data, config)
    ours.take_weights(model)
    before = weights_of(model)
    mine, theirs = ours.train(), train_keras(model, x, y, fit)
    assert_same(mine, theirs)
    assert any(not np.array_equal(before[name], value) for name, value in theirs.weights.items()), "nothing was learned"
    return mine, theirs
