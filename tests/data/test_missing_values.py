"""Columns of boolean words and columns with gaps: how they are read, and messages whose hints work as they stand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import PreparedData, fitted_preparer, load_data
from kerascli.data.read import read_raw
from kerascli.data.section import parse_data
from kerascli.foundation.errors import DataError, Fault
from kerascli.language.component import Invalid
from tests.support.data_harness import whole

TABLE = (
    "x,active,paid,old,churn\n1,true,yes,True,true\n2,false,no,,false\n3,TRUE,no,False,True\n4,False,yes,True,False\n"
)


def load(folder: Path, inputs: dict[str, Any], text: str = TABLE, **section: Any) -> PreparedData:
    (folder / "t.csv").write_text(text)
    source = {"csv": {"path": "t.csv", **section.pop("settings", {})}}
    return load_data(parse_data({"source": source, "inputs": inputs, **section}), Context(folder, 1))


def fault(folder: Path, inputs: dict[str, Any], text: str, **section: Any) -> Fault:
    with pytest.raises(DataError) as error:
        load(folder, inputs, text, **section)
    return error.value.faults[0]


def test_words_of_truth_are_booleans_and_yes_is_text(tmp_path: Path) -> None:
    data = load(tmp_path, {"a": {"columns": "active"}, "x": [{"columns": ["x", "active"]}]})
    rows = whole(data.splits["train"])
    assert rows.inputs["a"].tolist() == [True, False, True, False]
    assert rows.inputs["x"].tolist() == [[1, 1], [2, 0], [3, 1], [4, 0]]
    assert data.tables["train"].array("paid").tolist() == ["yes", "no", "no", "yes"]


def test_a_gap_among_booleans_is_imputed(tmp_path: Path) -> None:
    data = load(tmp_path, {"a": [{"columns": "old"}, {"impute": "most_frequent"}]})
    assert whole(data.splits["train"]).inputs["a"].tolist() == [1, 1, 0, 1]
    found = fault(tmp_path, {"a": [{"columns": "old"}, "normalization"]}, TABLE)
    assert str(found.place) == "t.csv:3:old"
    assert found.text == "missing value"
    assert found.hint is not None
    assert "{impute: median}" in found.hint


@pytest.mark.parametrize(
    ("steps", "got"),
    [
        ([{"string_lookup": {"vocabulary": ["True"], "mask_token": ""}}], [2, 0, 1, 2]),
        ([{"impute": "most_frequent"}, {"string_lookup": {"vocabulary": ["True"]}}], [1, 1, 0, 1]),
    ],
)
def test_words_of_truth_beside_a_gap_are_looked_up(tmp_path: Path, steps: list[Any], got: list[int]) -> None:
    data = load(tmp_path, {"a": [{"columns": "old"}, *steps]})
    assert whole(data.splits["train"]).inputs["a"].tolist() == got


def test_a_row_without_an_integer_label_is_left_out_and_the_others_are_as_without_it(tmp_path: Path) -> None:
    text, rest = "x,y\n1,4\n2,\n3,7\n4,4\n", {"targets": {"y": ["integer_lookup"]}, "settings": {"on_bad_rows": "skip"}}
    data = load(tmp_path, {"x": []}, text, **rest)
    assert whole(data.splits["train"]).inputs["x"].tolist() == [1, 3, 4]
    assert whole(data.splits["train"]).targets["y"].tolist() == [0, 1, 0]
    assert len(data.warnings) == 1


def test_rows_are_kept_by_integers_beside_a_gap(tmp_path: Path) -> None:
    data = load(tmp_path, {"x": []}, "x,n\n1,4\n2,\n3,7\n4,4\n", where={"n": 4})
    assert whole(data.splits["train"]).inputs["x"].tolist() == [1, 4]


def test_words_of_truth_are_text_where_a_transform_needs_text(tmp_path: Path) -> None:
    targets = {"churn": [{"string_lookup": {"positive": "true"}}]}
    text = TABLE.replace("True\n", "true\n").replace("False\n", "false\n")
    data = load(tmp_path, {"a": [{"columns": "active"}, "string_lookup"]}, text, targets=targets)
    assert data.facts.targets["churn"].classes == ("false", "true")
    assert whole(data.splits["train"]).targets["churn"].tolist() == [1, 0, 1, 0]
    assert data.facts.inputs["a"].words == ("", "true", "false", "TRUE", "False")


def test_rows_are_chosen_by_words_of_truth(tmp_path: Path) -> None:
    data = load(tmp_path, {"x": []}, where={"active": ["true", "TRUE"]})
    assert whole(data.splits["train"]).inputs["x"].tolist() == [1, 3]


def test_a_word_for_missing_is_named_with_the_setting_that_reads_it(tmp_path: Path) -> None:
    text = "a,b\n1,x\n2.5,\nNA,y\n4,x\n"
    inputs: dict[str, Any] = {"a": ["normalization"]}
    found = fault(tmp_path, inputs, text)
    assert str(found.place) == "t.csv:4:a"
    assert found.hint is not None
    assert 'na_values: ["NA"]' in found.hint
    settings = {"na_values": ["NA"]}
    assert str(fault(tmp_path, inputs, text, settings=settings).place) == "t.csv:4:a"
    data = load(tmp_path, {"a": [{"impute": "median"}, "normalization"]}, text, settings=settings)
    assert np.isfinite(whole(data.splits["train"]).inputs["a"]).all()


def test_a_decimal_comma_is_named_with_the_setting_that_reads_it(tmp_path: Path) -> None:
    text = "a;b\n1;2\n1,5;3\n2;4\n"
    found = fault(tmp_path, {"a": ["normalization"]}, text, settings={"delimiter": ";"})
    assert found.hint == "if this is a decimal comma: 'decimal: \",\"' of the source"
    data = load(tmp_path, {"a": []}, text, settings={"delimiter": ";", "decimal": ","})
    assert whole(data.splits["train"]).inputs["a"].tolist() == [1, 1.5, 2]


def test_a_missing_text_says_how_to_fill_it(tmp_path: Path) -> None:
    text = 'a\nx\n""\nx\ny\n'
    found = fault(tmp_path, {"a": ["string_lookup"]}, text)
    assert str(found.place) == "t.csv:3:a"
    assert found.hint == "add {impute: most_frequent} before it, or mask_token: '' gives it an index"
    assert whole(load(tmp_path, {"a": [{"impute": "most_frequent"}, "string_lookup"]}, text).splits["train"]).inputs[
        "a"
    ].tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize("column", ["true", "True", "TRUE"])
@pytest.mark.parametrize("gap", ["", None])
def test_booleans_of_other_formats_are_looked_up_as_the_words_of_the_text(
    tmp_path: Path, column: str, gap: str | None
) -> None:
    """pandas writes `True` to CSV, and `true` to JSON."""
    false = {"true": "false", "True": "False", "TRUE": "FALSE"}[column]
    values = [True, False, True, *([None] if gap == "" else [])]
    words = {True: column, False: false, None: ""}
    text = "\n".join(["a,b", *(f"{i},{words[value]}" for i, value in enumerate(values)), ""])
    inputs: dict[str, Any] = {"b": [{"string_lookup": {"mask_token": ""}}]}
    data = load(tmp_path, inputs, text)
    source = {"csv": {"path": "t.csv"}}
    pq.write_table(pa.table({"a": range(len(values)), "b": pa.array(values)}), tmp_path / "n.parquet")
    rows = ({"a": i, "b": value} for i, value in enumerate(values))
    (tmp_path / "n.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "n.csv").write_text(text.replace(column, "true").replace(false, "FALSE"))
    spec = parse_data({"source": source, "inputs": inputs})
    for name in ("n.parquet", "n.jsonl", "n.csv"):
        table = read_raw(spec, tmp_path / name, columns=spec.columns(), name=name)
        found = whole(fitted_preparer(spec, data.learned, targets=False).split(table)).inputs["b"]
        assert found.tolist() == whole(data.splits["train"]).inputs["b"].tolist()
        assert min(found[:3]) > 1  # none is out of the vocabulary


def test_booleans_of_json_lines_are_looked_up_without_a_gap_too(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"b": true}\n{"b": false}\n{"b": true}\n')
    source = {"json_lines": {"path": "t.jsonl"}}
    spec = parse_data({"source": source, "inputs": {"b": ["string_lookup"]}})
    assert whole(load_data(spec, Context(tmp_path, 1)).splits["train"]).inputs["b"].tolist() == [1, 2, 1]
    spec = parse_data({"source": source, "inputs": {"x": [{"columns": "b"}]}, "targets": {"b": []}})
    assert load_data(spec, Context(tmp_path, 1)).facts.targets["b"].num_classes == 2  # as numbers they are labels


@pytest.mark.parametrize("first", ["words", "numbers"])
def test_booleans_are_words_or_numbers_in_all_pipelines(tmp_path: Path, first: str) -> None:
    words, numbers = ("words", [{"columns": "active"}, "string_lookup"]), ("numbers", [{"columns": ["active"]}])
    inputs = dict([words, numbers] if first == "words" else [numbers, words])
    found = fault(tmp_path, inputs, TABLE)
    assert "'active' has booleans, of which one pipeline takes the words" in found.text


def test_columns_of_parquet_that_are_all_missing_are_gaps(tmp_path: Path) -> None:
    """pandas writes the type null for them, whether the training rows have numbers or words."""
    inputs: dict[str, Any] = {
        "sex": [{"impute": "most_frequent"}, {"string_lookup": {"num_oov_indices": 0}}],
        "age": [{"impute": "median"}],
    }
    data = load(tmp_path, inputs, "sex,age\nm,1\nf,2\nf,3\n")
    spec = parse_data({"source": {"csv": {"path": "t.csv"}}, "inputs": inputs})
    pq.write_table(pa.table({"sex": pa.nulls(2), "age": pa.nulls(2)}), tmp_path / "n.parquet")
    table = read_raw(spec, tmp_path / "n.parquet", columns=spec.columns(), name="n")
    rows = whole(fitted_preparer(spec, data.learned, targets=False).split(table))
    assert rows.inputs["sex"].tolist() == [0, 0]
    assert rows.inputs["age"].tolist() == [2, 2]


def test_the_first_row_of_a_repeated_bad_text_is_named(tmp_path: Path) -> None:
    text = "when,y\n" + "2024-01-01,1\n2024-02-01,2\n" * 3 + "soon,1\n2024-01-01,1\nsoon,2\n"
    assert str(fault(tmp_path, {"when": ["datetime"]}, text).place) == "t.csv:8:when"


@pytest.mark.parametrize("form", ["boolean", "integer"])
def test_there_are_no_other_dtypes(tmp_path: Path, form: str) -> None:
    with pytest.raises(Invalid):
        load(tmp_path, {"x": []}, settings={"dtypes": {"x": form}})
