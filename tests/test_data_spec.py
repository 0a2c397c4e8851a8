"""The data section: its forms, and faults at the place where they were written."""

from typing import Any

import pytest

from kerascli.component import Invalid
from kerascli.data.base import SOURCES
from kerascli.data.spec import DataSpec, parse_data


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
        ({"inputs": {"x": {"rescaling": "two"}}}, ("inputs", "x", "rescaling", "scale")),
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
    assert set(properties) == {"source", "split", "shared", "inputs", "targets", "sample_weight"}
