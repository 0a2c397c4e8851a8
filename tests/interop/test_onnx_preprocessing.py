"""ONNX files with preprocessing: ONNX Runtime gives for raw rows what `predict` gives, and refuses what it refuses."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
import torch
from torch import nn

from kerascli.data.base import NO_STATE, Field, FittedState, NotExportable, Refusal, Transform
from kerascli.data.pipeline.steps import FittedStep
from kerascli.data.transforms.datetime import DateTime
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.onnx_rows import failing, transformed
from kerascli.interop.torch_files import onnx_bytes, run_onnx
from kerascli.runs.record import RunRecord
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support import pipeline_harness as cases
from tests.support.pipeline_harness import trained
from tests.support.runs_harness import write

TEXT = {"country", "label", "target", "text", "day"}


class Models:
    """Runs and their ONNX files, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[str, RunRecord] = {}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def run(self, case: str) -> RunRecord:
        if case not in self._runs:
            (self._folder / case).mkdir()
            self._runs[case] = trained(getattr(cases, case), self._folder / case)
        return self._runs[case]

    def session(self, case: str) -> onnxruntime.InferenceSession:
        if case not in self._sessions:
            self._sessions[case] = session(self.run(case), self._folder / case)
        return self._sessions[case]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


def session(run: RunRecord, folder: Path) -> onnxruntime.InferenceSession:
    made = export_run(run, "onnx", folder / "model.onnx", preprocessing=True)
    assert made.difference is not None  # from predict, on rows that were made up
    file = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert not any(node.metadata_props for node in file.graph.node)  # torch notes the paths of its code there
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the errors that are wanted here
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


def answers(model: onnxruntime.InferenceSession, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    given = {each.name: columns[each.name] for each in model.get_inputs()}
    return dict(zip([each.name for each in model.get_outputs()], model.run(None, given), strict=True))


def columns_of(text: str, model: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    """Return the columns of a csv text as another program would give them to ONNX Runtime."""
    types = {each.name: each.type for each in model.get_inputs()}
    rows = list(csv.DictReader(text.splitlines()))
    found: dict[str, np.ndarray] = {}
    for name in rows[0]:
        words = ["" if row[name] == "NA" else row[name] for row in rows]
        if types.get(name) == "tensor(int64)" and name == "day":
            found[name] = np.array(words, "datetime64[s]").astype(np.int64)
        elif name in TEXT:
            found[name] = np.array(words, object)
        elif name in types:
            dtype = np.int64 if types[name] == "tensor(int64)" else np.float64
            found[name] = np.array([word or "nan" for word in words]).astype(np.float64).astype(dtype)
    return found


UNSEEN = "3.5,23,NA,BR,99999,5.0,ok,BR,x,2026-01-01\n0.01,0,200,NA,-7,5.0,ok,NA,x,2026-01-01\n"
"""Rows with out-of-vocabulary words and numbers, and with missing values."""


@pytest.mark.parametrize("case", ["FRAUD", "PRICES", "TWO_OUTPUTS", "DATES"])
def test_onnx_runtime_gives_for_raw_rows_what_predict_gives(case: str, models: Models, tmp_path: Path) -> None:
    text = cases.rows(40, seed=9) + UNSEEN
    wanted = predict_run(open_run(models.run(case), device="cpu"), str(write(tmp_path, text, "new.csv")))
    model = models.session(case)
    found = answers(model, columns_of(text, model))
    for name, values in wanted.outputs.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-5, atol=1e-6, err_msg=name)
    for name in wanted.class_columns:
        output = {"class": "label", "kind.class": "kind"}[name]
        assert found[f"{output}_class"].tolist() == wanted.columns[name].tolist()
        prefix = name.removesuffix("class")
        for number, label in enumerate(("ok", "fraud") if output == "label" else ("fraud", "ok")):
            column = wanted.columns[f"{prefix}p({label})"]
            np.testing.assert_allclose(found[f"{output}_probabilities"][:, number], column, atol=1e-6)


def test_pictures_go_in_as_bytes(models: Models) -> None:
    run = models.run("PICTURES")
    model = models.session("PICTURES")
    pictures = np.load(run.path.parents[1] / "pictures.npz")["image"]
    wanted = predict_run(open_run(run, device="cpu"), str(run.path.parents[1] / "pictures.npz"))
    (given,) = model.get_inputs()
    assert (given.type, given.shape) == ("tensor(uint8)", ["batch", 8, 8, 1])
    found = answers(model, {"image": pictures})
    np.testing.assert_allclose(found["dense"], wanted.outputs["dense"], atol=1e-6)
    assert found["dense_class"].tolist() == wanted.columns["class"].tolist()


def test_columns_of_all_dtypes_are_prepared_and_refused_as_in_predict(models: Models, tmp_path: Path) -> None:
    run, model, columns = models.run("KINDS"), models.session("KINDS"), cases.kinds(9, seed=1)
    columns["id"][0], columns["half"][0] = 2**40, 0.5
    np.savez(tmp_path / "new.npz", **columns)  # type: ignore[arg-type]
    wanted = predict_run(open_run(run, device="cpu"), str(tmp_path / "new.npz"))
    found = answers(model, columns)
    np.testing.assert_allclose(found["y"], wanted.outputs["y"], rtol=1e-5)
    for name, value in {"small": -1, "short": 7, "half": np.nan, "real": -1.0}.items():
        bad = {**columns, name: columns[name].copy()}
        bad[name][3] = value
        with pytest.raises(Exception, match="out of data bounds"):
            answers(model, bad)


def test_a_view_takes_raw_columns_too(models: Models, tmp_path: Path) -> None:
    made = export_run(models.run("KINDS"), "onnx", tmp_path / "view.onnx", preprocessing=True, view="inside")
    assert made.difference is not None
    found = run_onnx((tmp_path / "view.onnx").read_bytes(), cases.kinds(9, seed=1))
    assert found["body"].shape == (9, 4)


class Doubled(Transform):
    """Transform as a plugin may have it: operations of torch alone, and values that it refuses."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        return field

    def refusals(self, x: torch.Tensor, field: Field, state: FittedState, *, target: bool) -> Iterator[Refusal]:
        yield Refusal(x > 100, lambda value: f"{value} is too large")

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return nn.Linear(1, 1).requires_grad_(False).to(dtype)


class OfOneColumn(nn.Module):
    def __init__(self, transform: Transform, field: Field) -> None:
        super().__init__()
        self.step = FittedStep(transform, field, field, NO_STATE)
        self.module = self.step.module

    def forward(self, *columns: torch.Tensor) -> tuple[torch.Tensor, ...]:
        refused: list[torch.Tensor] = []
        return (failing(transformed(self.step, columns[0], refused, 0), refused[0]),)


def test_a_transform_of_a_plugin_becomes_the_operations_of_its_module() -> None:
    spec = TensorSpec((1,), "float64")
    module = OfOneColumn(Doubled(), Field((1,), "float64"))
    data = onnx_bytes(module, [torch.ones(3, 1, dtype=torch.float64)], {"x": spec}, {"y": spec})
    x = np.array([[1.0], [-2.0]])
    np.testing.assert_allclose(run_onnx(data, {"x": x})["y"], module(torch.tensor(x))[0].numpy(), rtol=1e-12)
    with pytest.raises(Exception, match="out of data bounds"):
        run_onnx(data, {"x": x + 100})
    text = FittedStep(Doubled(), Field((), "string"), Field((), "float64"), NO_STATE)
    with pytest.raises(NotExportable, match="ONNX has no operations for"):
        transformed(text, torch.zeros(3, dtype=torch.int64), [], 0)


@pytest.mark.parametrize("form", [None, "%d.%m.%Y %H:%M"])
def test_dates_that_are_made_up_for_the_check_are_dates(form: str | None) -> None:
    step = DateTime(format=form)
    codes = step.codes(pa.array(step.examples(NO_STATE)), NO_STATE, target=False)
    assert isinstance(codes, torch.Tensor)
    assert (codes >= 0).all()
    assert len(codes.unique()) == len(codes)


REFUSED = {
    "a missing number without impute": {"amount": np.nan},
    "an infinite number": {"amount": np.inf},
    "a number that float32 cannot hold": {"amount": 1e300},
    "a number outside of log1p": {"amount": -2.0},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_row_that_predict_refuses_is_an_error_of_onnx_runtime(case: str, models: Models) -> None:
    model = models.session("FRAUD")
    columns = columns_of(cases.rows(3), model)
    assert len(answers(model, columns)["label"]) == 3
    for name, value in REFUSED[case].items():
        columns[name][1] = value
    with pytest.raises(Exception, match="out of data bounds"):
        answers(model, columns)


NO_PLACE = """
seed: 1
data:
  source: {csv: {path: rows.csv, na_values: [NA]}}
  inputs: {a: [{columns: target}, string_lookup: {num_oov_indices: 0, output_mode: one_hot}],
           b: [{columns: [hour, amount]}, cast: float32], c: [{columns: hour}, cast: int8, category_encoding: 24]}
  targets: {y: [{columns: price}, sqrt, rescaling: {scale: 0.5, offset: 1}, reshape: [1]]}
model: {layers: [{concatenate: [a, b, c]}, {dense: {units: 1, name: target}}]}
compile: {loss: mse}
fit: {epochs: 1}
"""


def test_values_that_have_no_index_are_errors_of_both(tmp_path: Path) -> None:
    """The output has the name of a raw column here, and gets another one.

    Predictions are squares of float32 sums whose terms cancel: their roots differ by a rounding of the largest terms.
    """
    run = trained(NO_PLACE, tmp_path)
    model = session(run, tmp_path)
    assert [each.name for each in model.get_outputs()] == ["target_"]
    columns = columns_of(cases.rows(20), model)
    wanted = predict_run(open_run(run, device="cpu"), str(write(tmp_path, cases.rows(20), "new.csv")))
    found = answers(model, columns)["target_"]
    np.testing.assert_allclose(np.sqrt(found), np.sqrt(wanted.outputs["target"]), rtol=1e-6, atol=1e-5)
    for name, value in {"target": "BR", "hour": 24}.items():
        changed = {**columns, name: columns[name].copy()}
        changed[name][0] = value
        with pytest.raises(Exception, match="out of data bounds"):
            answers(model, changed)
        lines = cases.rows(20).splitlines()
        place = lines[0].split(",").index(name)
        first = lines[1].split(",")
        first[place] = str(value)
        bad = write(tmp_path, "\n".join([lines[0], ",".join(first), *lines[2:]]), "bad.csv")
        with pytest.raises(DataError):
            predict_run(open_run(run, device="cpu"), str(bad))


WAYS = {
    "text_vectorization": ("[{columns: text}, text_vectorization: {output_mode: multi_hot}]", "replace characters"),
    "datetime": ("[{columns: day}, impute: most_frequent, datetime]", "no transform can be before it"),
    "hashing": ("[{columns: target}, hashing: {num_bins: 4, output_mode: one_hot}]", "hash by FarmHash or SipHash"),
    "hashed_crossing": (
        "[{columns: [target, label]}, hashed_crossing: {num_bins: 4, output_mode: one_hot}]", "hash by FarmHash",
    ),
    "string_lookup": ("[{columns: target}, string_lookup: {num_oov_indices: 2, output_mode: one_hot}]", "a hash"),
    "feature_space": (
        "[feature_space: {features: {target: string_categorical, hour: integer_hashed}}]", "hash by FarmHash",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_what_onnx_has_no_operations_for_is_refused_by_name_with_the_way_out(name: str, tmp_path: Path) -> None:
    inputs, reason = WAYS[name]
    text = (
        f"data:\n  source: {{csv: {{path: rows.csv, na_values: [NA]}}}}\n  inputs: {{x: {inputs}}}\n"
        "  targets: {y: [{columns: hour}]}\nmodel: {layers: [{dense: 1}]}\ncompile: {loss: mse}\nfit: {epochs: 1}\n"
    )
    with pytest.raises(ConfigError, match=rf"inputs\.x \({name}\): .*{reason}"):
        export_run(trained(text, tmp_path), "onnx", tmp_path / "m.onnx", preprocessing=True)
    assert not (tmp_path / "m.onnx").exists()


def test_raw_columns_have_the_batch_axis_too(models: Models) -> None:
    """Without preprocessing: tests/interop/test_export.py."""
    model = models.session("TWO_OUTPUTS")
    assert {each.name for each in model.get_inputs()} == {"country", "target", "amount", "hour"}
    assert all(each.shape == ["batch"] for each in model.get_inputs())
    assert {each.shape[0] for each in model.get_outputs()} == {"batch"}
