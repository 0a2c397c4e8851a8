"""The data section: its written forms, and faults at their places."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.base import SOURCES, Context
from kerascli.data.section import DataSpec, parse_data
from kerascli.language.component import Invalid
from tests.support.data_harness import whole
from tests.support.runs_harness import train, write


def parse(**section: Any) -> DataSpec:
    return parse_data({"source": "blobs", "inputs": {"x": []}, **section})


@pytest.mark.parametrize(
    ("written", "columns", "stacked", "steps"),
    [
        ([], ("x",), False, []),
        (None, ("x",), False, []),
        ("normalization", ("x",), False, ["normalization"]),
        ({"rescaling": 2.0}, ("x",), False, ["rescaling"]),
        ({"columns": "a"}, ("a",), False, []),
        ({"columns": ["a"]}, ("a",), True, []),
        ([{"columns": ["a", "b"]}, "normalization"], ("a", "b"), True, ["normalization"]),
    ],
)
def test_a_pipeline_has_these_forms(written: Any, columns: tuple[str, ...], stacked: bool, steps: list[str]) -> None:
    pipeline = parse(inputs={"x": written}).inputs["x"]
    assert (pipeline.columns, pipeline.stacked) == (columns, stacked)
    assert [step.transform.component_name for step in pipeline.steps] == steps


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"inputs": {"x": ["normalization", {"rescaling": {"scal": 1}}]}}, ("inputs", "x", 1, "rescaling", "scal")),
        ({"inputs": {"x": {"rescaling": "two"}}}, ("inputs", "x", "rescaling")),
        ({"targets": {"y": ["to_category"]}}, ("targets", "y", 0)),
        (
            {"shared": {"words": {"string_lookup": {"max_tokens": 0}}}},
            ("shared", "words", "string_lookup", "max_tokens"),
        ),
        ({"source": {"csv": {"path": 3}}}, ("source", "csv", "path")),
        ({"split": {"test": -1.0}}, ("split", "test")),
        ({"inputs": {"a b": []}}, ("inputs", "a b")),
        ({"targets": {"y": []}, "sample_weight": {"yy": "cast"}}, ("sample_weight", "yy")),
        ({"targets": {"y": []}, "sample_weight": {"yy": []}}, ("sample_weight", "yy")),
        ({"colour": 3}, ("colour",)),
    ],
)
def test_a_fault_has_the_path_of_what_was_written(section: dict[str, Any], path: tuple[str | int, ...]) -> None:
    with pytest.raises(Invalid) as caught:
        parse(**section)
    assert caught.value.faults[0].path == ("data", *path)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        parse(source="blob", split={"tets": 0.1}, inputs={"x": ["rescalin"], "y": ["reshap"]}, target={})
    assert [fault.path[1] for fault in caught.value.faults] == ["source", "split", "inputs", "inputs", "target"]


def test_a_section_is_a_mapping() -> None:
    with pytest.raises(Invalid, match="data: expected a mapping, got the text 'mnist'"):
        parse_data("mnist")


@pytest.mark.parametrize("spelling", ["cifar10", "CIFAR10", "dataset_cifar10", "cifar_10"])
def test_rs_names_of_data_sets_work(spelling: str) -> None:
    assert SOURCES.parse(spelling).component_name == "cifar10"


def test_the_schema_can_be_made() -> None:
    properties = DataSpec.model_json_schema()["properties"]
    assert set(properties) == set(DataSpec.model_fields)


def test_every_path_is_relative_to_the_file_that_gave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, value in (("sub", 1), ("", 2), ("here", 3)):
        (tmp_path / folder / "data").mkdir(parents=True)
        for name in ("train", "validation", "test"):
            (tmp_path / folder / "data" / f"{name}.csv").write_text(f"x\n{value}\n")
    (tmp_path / "sub/base.yaml").write_text(
        "data: {source: {csv: {path: data/train.csv}}, inputs: {x: []}}\nmodel: {layers: [{dense: 1}]}\n"
    )
    (tmp_path / "top.yaml").write_text("extends: sub/base.yaml\ndata: {source: {csv: {test: data/test.csv}}}\n")
    monkeypatch.chdir(tmp_path / "here")
    config = open_config(tmp_path / "top.yaml", sets=["data.source.csv.validation=data/validation.csv"])
    found = {name: whole(split).inputs["x"].tolist() for name, split in load_config_data(config).splits.items()}
    assert found == {"train": [1], "test": [2], "validation": [3]}
    assert config.data is not None
    run = tmp_path / "sub/runs/one"
    run.mkdir(parents=True)
    moved = config.data.rebased(config.context.folder, run).source.load(Context(run, 1))
    assert {name: table.array("x").tolist() for name, table in moved.items()} == found


def test_a_functions_file_is_relative_to_the_config_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "top.py").write_text("def load():\n    return {'x': [7.0]}\n")
    (tmp_path / "sub/base.yaml").write_text(
        "data: {source: {python: {function: 'base.py:load'}}, inputs: {x: []}}\nmodel: {layers: [{dense: 1}]}\n"
    )
    (tmp_path / "top.yaml").write_text("extends: sub/base.yaml\ndata: {source: {python: {function: 'top.py:load'}}}\n")
    assert whole(load_config_data(open_config(tmp_path / "top.yaml")).splits["train"]).inputs["x"].tolist() == [7.0]


def test_a_function_is_given_the_folder_of_its_file_by_the_run_s_own_config_too(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "sub/x.npy", np.arange(40, dtype=np.float32).reshape(20, 2))
    code = "import numpy as np\n\ndef load(folder):\n    x = np.load(folder / 'x.npy')\n"
    code += "    return {'x': x, 'y': x[:, :1]}\n"
    (tmp_path / "sub/own.py").write_text(code)
    text = "data: {source: {python: 'sub/own.py:load'}, inputs: {x: []}, targets: {y: []}}\n"
    text += "model: {layers: [{dense: 1}]}\ncompile: {loss: mse}\nfit: {epochs: 1}\n"
    run, _ = train(write(tmp_path, text), tmp_path / "runs")
    again = load_config_data(open_config(run.resolved_path))
    assert again.splits["train"].rows == 20
