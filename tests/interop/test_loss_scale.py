"""An optimizer that wraps another one is imported from Keras's files and exported again."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from pathlib import Path
from typing import Any

import keras
import pytest

from kerascli.config.load import open_config
from kerascli.runs.index import find_run
from tests.support.processes import forked_kerascli

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras and numpy 2


def test_a_loss_scale_optimizer_goes_there_and_back(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    inner: Any = keras.optimizers.Adam(0.01, clipnorm=1.0)
    scaled: Any = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0, dynamic_growth_steps=7)
    model.compile(scaled, loss="mse")
    model.save(tmp_path / "scaled.keras")
    assert forked_kerascli("import", "scaled.keras", cwd=tmp_path).returncode == 0
    run = find_run("latest", tmp_path / "runs")
    written = open_config(run.resolved_path).document.at(("compile", "optimizer"))["loss_scale_optimizer"]
    assert (written["initial_scale"], written["dynamic_growth_steps"]) == (64.0, 7)
    assert (written["inner_optimizer"]["adam"]["learning_rate"], written["inner_optimizer"]["adam"]["clipnorm"]) == (
        0.01,
        1,
    )
    done = forked_kerascli("export", "latest", "-o", "back.keras", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded: Any = keras.models.load_model(tmp_path / "back.keras")
    back: Any = loaded.optimizer
    assert isinstance(back, keras.optimizers.LossScaleOptimizer)
    assert (back.initial_scale, back.dynamic_growth_steps) == (64.0, 7)
    assert isinstance(back.inner_optimizer, keras.optimizers.Adam)
    assert back.inner_optimizer.clipnorm == 1.0
