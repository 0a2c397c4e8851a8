"""Batch size of evaluation: the largest that changes no metric."""

from pathlib import Path

import numpy as np
import pytest

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.batches.loader import BatchSource
from kerascli.foundation.device import Choice
from kerascli.training.evaluate import EvaluatedBatches, evaluate
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.fitting.plan import rows_in_order
from tests.support.runs_harness import HARD, outcome_of, write

CONFIGS = Path(__file__).parents[2] / "configs"
MASKED = """
data:
  source: {npz: words.npz}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - embedding: {input_dim: 9, output_dim: 4, mask_zero: true}
    - lstm: 3
    - dense: 1
compile: {loss: mse}
"""


def rows(path: Path, *sets: str, metrics: bool = True) -> int:
    config = open_config(path, sets=sets)
    phase = make_phase(config, load_config_data(config))
    experiment = build_phase(phase, Choice("cpu", "a test"))
    return rows_in_order(experiment, phase.prepared.splits["train"], metrics=metrics).batch_size


def test_small_rows_are_evaluated_many_at_once(tmp_path: Path) -> None:
    """24 units and 24 activations of 4 bytes are the widest: two million bytes hold 10,922 such rows."""
    assert rows(write(tmp_path, HARD)) == 2**21 // (2 * 24 * 4)


def test_never_fewer_than_are_trained_on(tmp_path: Path) -> None:
    assert rows(write(tmp_path, HARD), "fit.batch_size=20000") == 20000


@pytest.mark.parametrize("figures", [True, False])
def test_the_config_decides_where_it_says(tmp_path: Path, figures: bool) -> None:
    assert rows(write(tmp_path, HARD), "fit.validation_batch_size=7", metrics=figures) == 7


@pytest.mark.parametrize(
    "said",
    ["fit.validation_steps=2", "compile.loss={sparse_categorical_crossentropy: {reduction: sum}}"],
)
def test_metrics_that_depend_on_batches_keep_them(tmp_path: Path, said: str) -> None:
    path = write(tmp_path, HARD)
    assert rows(path, said) == 16
    assert rows(path, said, metrics=False) > 16


def test_masked_metrics_keep_their_batches(tmp_path: Path) -> None:
    """A masked mean divides by the unmasked values of a batch: Keras averages these means over batches."""
    np.savez(tmp_path / "words.npz", x=np.ones((40, 5), np.int64), y=np.ones((40, 1), np.float32))
    assert rows(write(tmp_path, MASKED)) == 32
    assert rows(write(tmp_path, MASKED.replace(", mask_zero: true", ""))) > 32


def test_metrics_of_a_whole_batch_keep_their_batches(tmp_path: Path) -> None:
    """The variance of a batch depends on its number of rows; a mean over rows does not."""
    parts = '\n    - expr: {value: "VALUE", name: middle}'
    parts += '\n    - add_metric: {value: "mean((x - middle) ** 2, axis=-1)", name: spread}'
    for value, adds_up in (("mean(x, axis=0)", False), ("mean(x, axis=-1, keepdims=true)", True)):
        text = HARD.replace("  layers:", "  layers:" + parts.replace("VALUE", value))
        text = text.replace("- dense: {units: 24,", "- dense: {units: 24, inputs: x,")
        assert (rows(write(tmp_path, text)) > 16) == adds_up


@pytest.mark.parametrize(
    ("value", "apart"),
    [
        ("x - mean(x, axis=0)", False), ("x @ transpose(x) @ x", False), ("flip(x, 0)", False), ("cumsum(x, 0)", False),
        ("softmax(x, axis=0)", False), ("roll(x, 1, axis=0)", False), ("x / (1 + max(x))", False),
        ("x - mean(x, axis=-1, keepdims=true)", True), ("log(x - 2) + x", True), ("x + random_normal(shape(x))", True),
        ("softmax(x)", True), ("flip(x, 1)", True), ("x[:, None, :][:, 0]", True), ("x * batch_size", False),
        ("x + zeros([batch_size, 1])", True),
    ],
)  # fmt: skip
def test_formulas_that_hold_rows_against_each_other_keep_their_batches(tmp_path: Path, value: str, apart: bool) -> None:
    """Formulas inside the model count, whatever its metrics are."""
    text = HARD.replace("  layers:", f'  layers:\n    - expr: {{value: "{value}"}}')
    assert (rows(write(tmp_path, text)) > 16) == apart
    assert (rows(write(tmp_path, text), metrics=False) > 16) == apart


@pytest.mark.parametrize(
    ("value", "apart"), [("h - mean(h, axis=0)", False), ("h - mean(h, axis=1, keepdims=true)", True)]
)
@pytest.mark.parametrize(
    "layer",
    [
        "rnn: {cell: {states: {h: [2]}, layers: [{expr: {value: 'VALUE + input', name: new}}], next: {h: new}}}",
        "time_distributed: {layer: own}",
    ],
)
def test_so_do_formulas_in_cells_and_in_what_is_called_on_each_step(
    tmp_path: Path, layer: str, value: str, apart: bool
) -> None:
    shared = f'  shared: {{own: {{inputs: {{h: [2]}}, layers: [{{expr: {{value: "{value}"}}}}]}}}}\n'
    steps = f"  layers:\n    - reshape: [3, 2]\n    - {layer.replace('VALUE', value)}\n    - flatten"
    text = HARD.replace("  layers:", f"{shared if 'own' in layer else ''}{steps}")
    assert (rows(write(tmp_path, text)) > 16) == apart


@pytest.mark.parametrize(("value", "apart"), [("y_pred - mean(y_pred, axis=0)", False), ("y_pred ** 2", True)])
def test_losses_and_metrics_that_hold_rows_against_each_other_keep_their_batches(
    tmp_path: Path, value: str, apart: bool
) -> None:
    for old, new in (
        ("[accuracy]", f'[accuracy, {{expr: {{value: "max({value}, axis=-1)", name: own}}}}]'),
        ("loss: sparse_categorical_crossentropy", f'loss: {{expr: "max({value}, axis=-1) * (1 + y_true)"}}'),
    ):
        assert (rows(write(tmp_path, HARD.replace(old, new))) > 16) == apart


@pytest.mark.parametrize(("axis", "apart"), [(0, False), (-2, False), (1, True), (-1, True)])
def test_losses_and_metrics_along_the_batch_keep_their_batches(tmp_path: Path, axis: int, apart: bool) -> None:
    text = HARD.replace("targets: {y: []}", "targets: {y: [{to_categorical: 4}]}").partition("  callbacks:")[0]
    for old, new in (("loss: sparse_categorical_", f"loss: {{categorical_crossentropy: {{axis: {axis}}}}} # "),
                     ("metrics: [accuracy]", f"metrics: [{{cosine_similarity: {{axis: {axis}}}}}]")):  # fmt: skip
        each = text.replace(old, new).replace("sparse_categorical_crossentropy", "categorical_crossentropy")
        assert (rows(write(tmp_path, each)) > 16) == apart


@pytest.mark.parametrize("config", ["two_inputs", "tiny"])
def test_metrics_do_not_depend_on_how_many_are_evaluated_at_once(config: str) -> None:
    """Sums of float32 losses in another order are equal to six digits."""
    opened = open_config(CONFIGS / f"{config}.yaml")
    prepared = load_config_data(opened)
    experiment = build_phase(make_phase(opened, prepared), Choice("cpu", "a test"))
    split = prepared.splits["train"]
    at_once, few = (
        outcome_of(evaluate(experiment.module, EvaluatedBatches(source.epoch(0)), seed=1))
        for source in (rows_in_order(experiment, split), BatchSource(split, 7, experiment.device))
    )
    assert at_once == pytest.approx(few, rel=1e-6)
