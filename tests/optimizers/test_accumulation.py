"""Gradient accumulation in whole trainings; test_keras_parity and tests/parity compare its steps with Keras."""

from pathlib import Path

import numpy as np

from kerascli.workflow.loaded import open_run
from tests.support.runs_harness import train, write

CONFIG = """
seed: 1
data: {source: {blobs: {rows: 60, features: 3, classes: 2}}, inputs: {x: [normalization]}, targets: {y: []}}
model: {layers: [{dense: {units: 4, activation: tanh}}, {dense: {units: 2, activation: softmax}}]}
compile:
  loss: sparse_categorical_crossentropy
  optimizer: {sgd: {learning_rate: RATE, momentum: 0.9, clipnorm: 0.5OPTION}}
fit: {epochs: EPOCHS, batch_size: BATCH, shuffle: false}
"""


def weights(folder: Path, *, batch: int, steps: int = 1, epochs: int = 3, rate: str = "0.1") -> dict[str, np.ndarray]:
    """Return the weights after a training on batches of so many rows, of which `steps` make an update."""
    option = f", gradient_accumulation_steps: {steps}" if steps > 1 else ""
    text = CONFIG.replace("RATE", rate).replace("OPTION", option).replace("EPOCHS", str(epochs))
    run, _ = train(write(folder, text.replace("BATCH", str(batch))), folder / "runs")
    return {weight.name: weight.keras().detach().numpy() for weight in open_run(run).experiment.weights}


def test_small_batches_of_an_update_are_one_large_batch(tmp_path: Path) -> None:
    large, small = weights(tmp_path, batch=60), weights(tmp_path, batch=15, steps=4)
    for name, values in large.items():
        np.testing.assert_allclose(small[name], values, atol=1e-6)


def test_a_schedule_counts_batches(tmp_path: Path) -> None:
    """With 4 batches an update it has gone on by 4 from update to update, and by 3 before the first."""
    decay = "{{exponential_decay: {{initial_learning_rate: {}, decay_steps: {}, decay_rate: 0.5}}}}"
    large = weights(tmp_path, batch=60, rate=decay.format(0.1 * 0.5**0.75, 1))
    small = weights(tmp_path, batch=15, steps=4, rate=decay.format(0.1, 4))
    for name, values in large.items():
        np.testing.assert_allclose(small[name], values, atol=1e-6)


def test_batches_go_on_from_epoch_to_epoch_and_the_last_ones_change_nothing(tmp_path: Path) -> None:
    first = weights(tmp_path, batch=20, steps=7, epochs=2)  # 6 batches: no update
    for name, values in weights(tmp_path, batch=20, steps=7, epochs=1).items():
        np.testing.assert_array_equal(first[name], values)
    third = weights(tmp_path, batch=20, steps=7, epochs=3)  # 9 batches: one update, of two batches of the third epoch
    assert all((first[name] != third[name]).any() for name in first)
    for name, values in weights(tmp_path, batch=20, steps=9, epochs=3).items():
        assert (third[name] != values).any()
