"""Samples of points, coloured by a column that is not an input of the model."""

from pathlib import Path

import numpy as np
import pytest

from kerascli.callbacks.samples import Points, Sampler
from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.pipeline.display_columns import class_labels
from kerascli.data.storage import on_disk
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.foundation.events import Note
from kerascli.workflow.check import check
from kerascli.workflow.loaded import open_run
from kerascli.workflow.make_samples import context_of
from tests.support.runs_harness import train, write

COLOURED = """
seed: 1
data:
  source: {csv: {path: flowers.csv}}
  inputs: {x: [{columns: [a, b]}]}
  targets: {image: [{columns: [a, b]}], size: [{columns: size}]}
model:
  layers:
    - dense: {units: 2, inputs: x, name: image}
    - dense: {units: 4, inputs: x, activation: softmax, name: size}
  outputs: [image, size]
  views: {encode: {outputs: image}}
compile: {loss: {image: mse, size: sparse_categorical_crossentropy}, optimizer: adam}
fit: {epochs: 1, validation_split: 0.5, callbacks: [{latent_scatter: {view: encode, colour: COLOUR}}]}
"""
FLOWERS = "a,b,kind,bed,size\n" + "".join(
    f"{7 * row % 5},{row * row},{'rose' if row % 3 else 'iris'},{row + 7},{row % 4}\n" for row in range(8)
)


@pytest.mark.parametrize(
    ("colour", "classes", "names"),
    [
        ("kind", [1, 1, 0, 1], ["iris", "rose"]),
        ("bed", [11, 12, 13, 14], []),
        ("size", [0, 1, 2, 3], []),
        ("kind, split: train", [0, 1, 1, 0], ["iris", "rose"]),
    ],
)
def test_points_are_coloured_by_a_column_that_the_model_is_not_given(
    colour: str, classes: list[int], names: list[str], tmp_path: Path
) -> None:
    (tmp_path / "flowers.csv").write_text(FLOWERS)
    config = write(tmp_path, COLOURED.replace("COLOUR", colour))
    record, events = train(config, tmp_path / "runs")
    assert (record.path / "samples/0001-latent_scatter.png").exists()
    assert not [event for event in events if isinstance(event, Note) and event.level == "warning"]
    opened = open_run(record, device="cpu")
    (callback,) = opened.experiment.spec.fit.callbacks
    assert isinstance(callback, Sampler)
    found = callback.sample(context_of(opened))
    assert isinstance(found, Points)
    assert found.classes is not None
    assert found.classes.tolist() == classes
    assert list(found.class_names) == names


@pytest.mark.parametrize(
    ("colour", "said"),
    [("kinds", "no column or target 'kinds'; did you mean 'kind'"), ("image", "target 'image' does not have")],
)
def test_a_colour_that_the_file_does_not_have_is_reported(colour: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "flowers.csv").write_text(FLOWERS)
    with pytest.raises(DataError, match=said) as error:
        load_config_data(open_config(write(tmp_path, COLOURED.replace("COLOUR", colour))))
    assert "config.yaml:14:93" in str(error.value.faults[0].place)


def test_the_colour_column_may_be_a_flag(tmp_path: Path) -> None:
    (tmp_path / "flowers.csv").write_text(FLOWERS)
    text = COLOURED.replace("COLOUR", "$by").replace("seed: 1", "flags: {by: kind}")
    assert set(load_config_data(open_config(write(tmp_path, text))).display_columns) == {"kind"}


def test_each_phase_may_have_a_colour_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "flowers.csv").write_text(FLOWERS)
    other = "[{latent_scatter: {view: encode, colour: bed, file: beds}}]"
    text = COLOURED.replace("COLOUR}}]}", f"kind}}}}], phases: [{{}}, {{callbacks: {other}}}]}}")
    record, events = train(write(tmp_path, text), tmp_path / "runs")
    assert not [event for event in events if isinstance(event, Note) and event.level == "warning"]
    names = {path.name for path in (record.path / "samples").iterdir()}
    assert names == {"0001-latent_scatter.png", "0002-beds.png"}


def test_a_column_of_a_file_on_disk_colours_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "t.npz", x=np.random.default_rng(0).random((90, 2)), kind=np.arange(90) % 4)
    text = COLOURED.replace("csv: {path: flowers.csv}", "npz: t.npz").replace("{columns: [a, b]}", "{columns: x}")
    text = text.replace("columns: size", "columns: kind").replace("COLOUR", "kind")
    text = text.replace("size: [{columns: kind}]", "size: [{columns: kind}, {cast: int64}]")
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 100)
    prepared = load_config_data(open_config(write(tmp_path, text)))
    table = prepared.tables["validation"]
    assert not isinstance(table["kind"], np.ndarray)
    numbers, names = class_labels(table.take(slice(0, 7))["kind"], prepared.display_columns["kind"])
    assert numbers.tolist() == [(row + 45) % 4 for row in range(7)]
    assert not names


def test_rows_are_of_a_split_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "flowers.csv").write_text(FLOWERS)
    config = write(tmp_path, COLOURED.replace("COLOUR", "kind, split: test"))
    with pytest.raises(ConfigError, match="latent_scatter: split: there is no split 'test'") as error:
        check(config, sets=[], flags=[])
    assert error.value.faults[0].hint == "the data has train, validation"
    assert "config.yaml:14:106" in str(error.value.faults[0].place)
