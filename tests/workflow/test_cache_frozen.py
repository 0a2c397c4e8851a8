"""The frozen part of a model runs once: trainings on its kept outputs, beside trainings of the whole model."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from kerascli.data.batches.loader import Batch
from kerascli.data.storage import mapped, on_disk
from kerascli.foundation.events import Note
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting import frozen
from tests.support.processes import Launched
from tests.support.runs_harness import go_on, outcome, train, write

CONFIG = """
seed: 3
data:
  source: {npz: rows.npz}
  split: {validation: 0.25, seed: 1}
  inputs: {image: [{rescaling: 0.5}], extra: []}
  targets: {y: []}
model:
  shared:
    base:
      layers:
        - conv_2d: {filters: 4, kernel_size: 3, padding: same, activation: relu, name: one}
        - batch_normalization: {name: norm}
        - conv_2d: {filters: 6, kernel_size: 3, activation: relu, name: two}
        - global_average_pooling_2d
  layers:
    - base: {inputs: image}
    - concatenate: {inputs: [base, extra], name: both}
    - dropout: 0.3
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.01}, metrics: [accuracy]}
fit: {epochs: 4, batch_size: 16, validation_data: validation, trainable: {base: false}}
"""


CALLED_TWICE = """    - base: {inputs: image, name: a}
    - base: {inputs: image, name: base}
    - add: {inputs: [a, base], name: sum}
    - identity: {inputs: base, name: again}"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 96)
    image = draw.normal(y[:, None, None, None], 1, (96, 8, 8, 3)).astype("float32")
    np.savez(tmp_path / "rows.npz", image=image, extra=draw.normal(size=(96, 2)).astype("float32"), y=y)
    return write(tmp_path, CONFIG)


def trained(config: Path, *sets: str) -> tuple[RunRecord, list[str]]:
    run, events = train(config, config.parent / "runs", sets)
    return run, [event.text for event in events if isinstance(event, Note) and event.text.startswith("frozen")]


def changed(config: Path, old: str, new: str) -> Path:
    text = config.read_text(encoding="utf-8")
    assert text.count(old) == 1
    return write(config.parent, text.replace(old, new), "changed.yaml")


def assert_close(one: RunRecord, other: RunRecord) -> None:
    (rows, weights), (expected, theirs) = ((run.history(), load(run.weights())) for run in (one, other))
    for row, wanted in zip(rows, expected, strict=True):
        values = {name for name in wanted if not name.endswith("_seconds")}
        np.testing.assert_allclose([row[name] for name in values], [wanted[name] for name in values], rtol=1e-4)
    assert weights.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(weights[name], array, rtol=1e-4, atol=1e-5)


def test_the_numbers_are_those_of_the_whole_model(config: Path) -> None:
    cached, said = trained(config)
    whole, nothing = trained(config, "fit.cache_frozen=false")
    assert said == ["frozen: the outputs of 5 layers are kept in memory for 96 rows, 3.8 kB"]
    assert nothing == []
    assert_close(cached, whole)
    assert outcome(cached)[1]["base/one/kernel"] == outcome(whole)[1]["base/one/kernel"]


@pytest.mark.parametrize(
    ("old", "new", "layers"),
    [
        ("{base: false}", "{base: false, base.two: true}", 2),
        ("        - batch_normalization: {name: norm}", "        - dropout: 0.2\n        - batch_normalization", 1),
        ("    - base: {inputs: image}", CALLED_TWICE, 11),
    ],
)  # fmt: skip
def test_it_ends_before_what_is_trained_or_random(config: Path, old: str, new: str, layers: int) -> None:
    config = changed(config, old, new)
    if layers == 11:
        config = changed(config, "[base, extra]", "[again, sum, extra]")
    cached, said = trained(config)
    assert f"the outputs of {layers} layer" in said[0]
    assert_close(cached, trained(config, "fit.cache_frozen=false")[0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{base: false}", "{}"),
        ("image: [{rescaling: 0.5}]", "image: [{rescaling: 0.5}, random_flip]"),
        ("  targets: {y: []}", "  targets: {y: [{to_categorical: 3}]}\n  augment: [{mix_up: {inputs: image}}]"),
        ("epochs: 4", "epochs: 1"),
        ("epochs: 4", "epochs: 4, steps_per_epoch: 2"),
    ],
)
def test_what_differs_from_epoch_to_epoch_is_not_kept(config: Path, old: str, new: str) -> None:
    config = changed(config, old, new)
    if "augment" in new:
        config = changed(config, "sparse_categorical", "categorical")
    assert trained(config)[1] == []


def test_states_of_a_stateful_layer_that_is_trained_have_the_batch_size(tmp_path: Path) -> None:
    text = """
seed: 1
data: {source: {copy_task: {rows: 64, length: 4}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - dense: {units: 6, name: before}
    - lstm: {units: 8, stateful: true, return_sequences: true}
    - dense: {units: 8, activation: sigmoid}
compile: {loss: binary_crossentropy}
fit: {epochs: 2, batch_size: 16, shuffle: false, trainable: {before: false}}
"""
    kept, said = trained(write(tmp_path, text))
    assert len(said) == 1
    assert_close(kept, trained(tmp_path / "config.yaml", "fit.cache_frozen=false")[0])


def test_large_outputs_are_kept_on_disk(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, _ = trained(config)
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 1000)
    config = changed(config, "{npz: rows.npz}", "{npz: rows.npz} ")
    disk, said = trained(config)
    assert "are kept on disk for 96 rows" in said[0]
    assert_close(disk, memory)


def test_a_resumed_run_ends_with_the_same_bits(config: Path) -> None:
    whole, _ = trained(config)
    half, _ = trained(config, "fit.epochs=2")
    go_on(half, ["fit.epochs=4"])
    assert outcome(half) == outcome(whole)


def test_phases_keep_what_is_frozen_in_each(config: Path) -> None:
    phases = "phases: [{epochs: 2, trainable: {base: false}}, {epochs: 2, trainable: {base.two: true}}]}"
    config = changed(config, "epochs: 4, batch_size: 16, validation_data: validation, trainable: {base: false}}",
                     f"batch_size: 16, validation_data: validation, {phases}")  # fmt: skip
    cached, said = trained(config)
    assert ["5 layers" in said[0], "2 layers" in said[1]] == [True, True]
    assert_close(cached, trained(config, "fit.cache_frozen=false")[0])


def count_rows() -> None:
    """Print the rows of which this process runs the frozen part, and the files that it leaves in TMPDIR."""
    runs, spills = frozen._Frozen.run, mapped.spill

    def run(self: frozen._Frozen, batch: Batch) -> object:
        print(f"frozen part: {batch.rows} rows")
        return runs(self, batch)

    def spill(*args: object) -> object:
        records = spills(*args)  # pyright: ignore[reportArgumentType]
        print(f"kept in {len(list(Path('tmp').iterdir()))} named files, {len(records)} rows")
        return records

    frozen._Frozen.run, frozen.spill = run, spill  # pyright: ignore[reportAttributeAccessIssue]
    os.environ["TMPDIR"] = "tmp"


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_share_the_work_and_the_rows(config: Path, processes: int) -> None:
    config = changed(config, "fit: {epochs: 4, batch_size: 16", "fit: {shards: 4, epochs: 2, batch_size: 16")
    config = changed(config, "validation_data: validation", "validation_data: validation, validation_batch_size: 5")
    (config.parent / "tmp").mkdir()
    results = []
    for number in (1, processes):
        runs = config.parent / f"runs{number}"
        options = ["--threads", "1", "--runs-dir", str(runs)]
        commands = [
            ["train", str(config), *options],
            ["train", "--resume", "latest", *options, "--set", "fit.epochs=4"],
        ]
        ended = Launched(commands, number, config.parent, count_rows).wait()
        assert ended.codes == [0] * number, ended.text
        assert ended.text.count("frozen: the outputs of 5 layers") == 2
        results.append(outcome(find_run("latest", runs)))
        rows = [sum(map(int, re.findall("frozen part: (.*) rows", output))) for output in ended.outputs]
        again = 2 * 2 * 5  # the first batch of both splits in both commands, of which each process looks for masks
        assert sum(rows) == 2 * 96 + number * again
        assert max(rows) - min(rows) <= again
        if number > 1:
            assert [output.count("kept in 0 named files") for output in ended.outputs] == [4] * number
    assert results[0] == results[1]
