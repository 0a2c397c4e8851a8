"""A size that exceeds any memory is reported with its setting and place, without allocating anything."""

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kerascli.foundation.errors import ConfigError
from kerascli.workflow.check import check
from tests.support.runs_harness import train, write

HUGE = 10**12
MODEL = "flatten, {dense: 1}"
PIPELINES = {
    "pad_sequences": f"inputs: {{x: [{{pad_sequences: {HUGE}}}]}}",
    "to_categorical": f"inputs: {{x: {{columns: v}}}}, targets: {{y: [{{to_categorical: {HUGE}}}]}}",
    "category_encoding": f"inputs: {{v: [{{category_encoding: {{num_tokens: {HUGE}}}}}]}}",
    "hashing": f"inputs: {{v: [{{hashing: {{num_bins: {HUGE}, output_mode: one_hot}}}}]}}",
    "string_lookup": f"inputs: {{t: [{{string_lookup: {{max_tokens: {HUGE}, pad_to_max_tokens: true, "
    "output_mode: multi_hot}}]}",
    "num_oov_indices": f"inputs: {{t: [{{string_lookup: {{num_oov_indices: {HUGE}}}}}]}}",
    "output_sequence_length": f"inputs: {{t: [{{text_vectorization: {{output_sequence_length: {HUGE}}}}}]}}",
    "max_tokens": f"inputs: {{t: [{{text_vectorization: {{max_tokens: {HUGE}, output_mode: multi_hot, "
    "pad_to_max_tokens: true}}]}",
    "resizing": "inputs: {im: [{resizing: {height: 1000000, width: 1000000}}]}",
    "num_bins": f"inputs: {{v: [{{discretization: {{num_bins: {HUGE}}}}}]}}",
}
LAYERS = {
    "repeat_vector": f"flatten, {{repeat_vector: {HUGE}}}, flatten, {{dense: 1}}",
    "dense": f"flatten, {{dense: {HUGE}}}, {{dense: 1}}",
    "embedding": f"{{embedding: {{input_dim: {HUGE}, output_dim: 2}}}}, flatten, {{dense: 1}}",
    "category_encoding": f"{{category_encoding: {{num_tokens: {HUGE}, output_mode: multi_hot}}}}, {{dense: 1}}",
    "zero_padding_1d": f"{{reshape: [4, 1]}}, {{zero_padding_1d: {HUGE}}}, global_average_pooling_1d, {{dense: 1}}",
    "up_sampling_2d": f"{{reshape: [2, 2, 1]}}, {{up_sampling_2d: {HUGE}}}, global_average_pooling_2d, {{dense: 1}}",
    "expr": f"flatten, {{dense: 1}}, {{expr: {{value: 'prev + sum(ones([{HUGE}]))'}}}}",
    "repeat": f"flatten, {{repeat: {{times: {HUGE}, layers: [{{dense: 1}}]}}}}",
}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Limit memory to 4 GB more than the process has, so that a failed test does not exhaust the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 4 * 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def config(folder: Path, data: str = "inputs: {v: []}", layers: str = MODEL, compiled: str = "loss: mse") -> Path:
    rows = 20
    (folder / "rows.py").write_text(
        "import numpy as np\ndef rows():\n    x = np.empty(20, object)\n"
        "    for row in range(20): x[row] = np.arange(row % 3 + 1)\n"
        "    return {'x': x, **np.load('rows.npz')}\n".replace("'rows.npz'", repr(str(folder / "rows.npz"))),
        encoding="utf-8",
    )
    np.savez(
        folder / "rows.npz", v=np.arange(80).reshape(rows, 4) % 3, y=np.arange(rows) % 2, t=np.array(["a b", "c"] * 10),
        im=np.zeros((rows, 4, 4, 3), np.uint8),
    )  # fmt: skip
    targets = "" if "targets" in data else ", targets: {y: []}"
    text = f"data: {{source: {{python: 'rows.py:rows'}}, {data}{targets}}}\n"
    return write(folder, f"{text}model: {{layers: [{layers}]}}\ncompile: {{{compiled}}}\nfit: {{epochs: 1}}\n")


def refused(path: Path) -> tuple[str, str]:
    """Return the place and text of the single fault that `validate` finds."""
    with pytest.raises(ConfigError) as found:
        check(path, sets=[], flags=[])
    (fault,) = found.value.faults
    assert fault.place is not None
    assert fault.place.column is not None
    return str(fault.place).rpartition("/")[2], fault.text


@pytest.mark.parametrize("name", PIPELINES)
def test_a_step_that_makes_too_much_names_itself(name: str, tmp_path: Path) -> None:
    place, text = refused(config(tmp_path, PIPELINES[name]))
    assert place.startswith("config.yaml:1:")
    assert name in text
    assert "1,000,000" in text or "at most" in text


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_makes_too_much_names_itself(name: str, tmp_path: Path) -> None:
    place, text = refused(config(tmp_path, layers=LAYERS[name]))
    assert place.startswith("config.yaml:2:")
    assert name in text or "more than 10,000 layers" in text


def test_rows_that_would_be_held_together_are_counted(tmp_path: Path) -> None:
    place, text = refused(config(tmp_path, "inputs: {x: [{pad_sequences: 2000000000}]}"))
    assert place.startswith("config.yaml:1:")
    assert text.startswith(
        "inputs.x (pad_sequences): maxlen 2,000,000,000: 20 rows of 2,000,000,000 numbers take 160 GB"
    )


def test_the_same_is_reported_by_train(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(pad_sequences\): maxlen 1,000,000,000,000: a row would have"):
        train(config(tmp_path, PIPELINES["pad_sequences"]), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_source_that_makes_its_rows_names_itself(tmp_path: Path) -> None:
    text = f"data: {{source: {{blobs: {{rows: {HUGE}}}}}, inputs: {{x: []}}, targets: {{y: []}}}}\n"
    path = write(tmp_path, f"{text}model: {{layers: [{{dense: 3}}]}}\ncompile: {{loss: mse}}\n")
    place, text = refused(path)
    assert place == "config.yaml:1:16"
    assert text.startswith("blobs: rows 1,000,000,000,000: ")


@pytest.mark.parametrize("metric", ["auc", "recall_at_precision"])
def test_thresholds_of_a_metric_are_bounded(metric: str, tmp_path: Path) -> None:
    more = "precision: 0.5, " if metric != "auc" else ""
    compiled = f"loss: binary_crossentropy, metrics: [{{{metric}: {{{more}num_thresholds: {HUGE}}}}}]"
    place, text = refused(
        config(tmp_path, layers="flatten, {dense: {units: 1, activation: sigmoid}}", compiled=compiled)
    )
    assert place.startswith("config.yaml:3:")
    assert text == f"num_thresholds: must be at most {2**20}, got {HUGE}"
