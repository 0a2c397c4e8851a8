"""Labels, token ids and large integers keep their values, or are an error that names the row and value."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import parse_data
from kerascli.data.storage import on_disk
from kerascli.data.storage.convert import first_rounded
from kerascli.foundation.errors import DataError, KerasCliError
from kerascli.losses.labels import Labels, first_invalid
from kerascli.workflow.check import check
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import train, write

CONFIG = """
data:
  source: {npz: t.npz}
  inputs: {x: [<x>]}
  targets: {y: [<y>]}
model: {layers: [<layers>]}
compile: {loss: <loss>, metrics: [<metrics>]}
fit: {epochs: 1, batch_size: 4}
"""
CLASSES = {"layers": "dense: {units: 3, activation: softmax}", "loss": "sparse_categorical_crossentropy"}
YES_NO = {"layers": "dense: {units: 1, activation: sigmoid}", "loss": "crossentropy"}
IGNORING = {**CLASSES, "loss": "{sparse_categorical_crossentropy: {ignore_class: 9}}"}
CIRCLE = {"layers": "dense: 4", "loss": "circle"}
GENERAL = {**CLASSES, "loss": "categorical_generalized_cross_entropy"}
NUMBER = {"layers": "dense: 1", "loss": "mse"}
TOKENS = {"layers": "reshape: [2, 2], embedding: {input_dim: 5, output_dim: 2}, flatten, dense: 1", "loss": "mse"}


def config(folder: Path, **words: str) -> Path:
    text = CONFIG
    for name in ("x", "y", "layers", "loss", "metrics"):
        text = text.replace(f"<{name}>", words.get(name, ""))
    return write(folder, text)


def said(folder: Path, arrays: dict[str, Any], **words: str) -> str:
    """Return the place and text of the first error of `validate` for these rows, or an empty text."""
    np.savez(folder / "t.npz", **arrays)
    try:
        check(config(folder, **words), sets=(), flags=())
    except KerasCliError as error:
        return f"{error.faults[0].place}: {error.faults[0].text}"
    return ""


ROWS = np.linspace(-1, 1, 12).reshape(3, 4)
FRACTION = "target 'y' is 0.99; sparse_categorical_crossentropy takes integer class labels"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_label_with_a_fraction_is_refused_in_every_split(tmp_path: Path, split: str) -> None:
    arrays = {
        f"{name}_{s}": v for s in ("train", "val", "test") for name, v in (("x", ROWS), ("y", np.array([0, 1.0, 2])))
    }
    assert said(tmp_path, arrays, **CLASSES) == ""
    arrays[f"y_{split}"] = np.array([0, 1, 0.99])
    within = {"train": "", "val": " (in the 'validation' split)", "test": " (in the 'test' split)"}[split]
    assert said(tmp_path, arrays, **CLASSES) == f"t.npz:3:y: {FRACTION}{within}"


@pytest.mark.parametrize(
    ("y", "words", "text"),
    [
        ([[0.0], [1.5], [2.0]], CLASSES, "target 'y' is 1.5; sparse_categorical_crossentropy takes integer"),
        ([0.0, 1.0, 3.0], CLASSES, "target 'y' is 3.0; the output has 3 units, for the classes 0 to 2"),
        ([0.0, -1.0, 3.5], CLASSES, "target 'y' is -1.0; the output has 3 units"),
        ([0, 9, 2], IGNORING, ""),
        ([0, 9, 4], IGNORING, "target 'y' is 4; the output has 3"),
        ([0, 9, 2], {**IGNORING, "metrics": "accuracy"}, "target 'y' is 9, not for the metric 'accuracy'; the output"),
        ([0, 9.5, 2], IGNORING, "target 'y' is 9.5; sparse"),
        ([0.0, 1.5, 2.0], {**CLASSES, "loss": "crossentropy"}, "target 'y' is 1.5; crossentropy takes integer"),
        ([0.0, 1.5, 2.0], GENERAL, "target 'y' is 1.5; categorical_generalized_cross_entropy takes"),
        ([0.0, 1.5, 2.0], CIRCLE, "target 'y' is 1.5; circle takes integer class labels"),
        ([70, -1, 80], CIRCLE, ""),
        ([70, 1, 80], CIRCLE, ""),
        ([0, 1, 1], YES_NO, ""),
        ([0.0, 1.0, 2.0], YES_NO, "target 'y' is 2.0; binary targets are 0 or 1"),
        ([0, 0.5, 1], YES_NO, ""),
        ([0, -0.5, 1], YES_NO, "target 'y' is -0.5; binary targets are 0 or 1"),
        ([0, 1, 2], {**CLASSES, "y": "rescaling: 0.5"}, "target 'y' is 0.5; sparse_categorical_crossentropy takes"),
        ([0, 1, 2], {**CLASSES, "y": "cast: float32"}, ""),
        ([0, 0.5, 1], {**NUMBER, "metrics": "mean_iou: 2"}, "target 'y' is 0.5; mean_iou takes integer class labels"),
        ([0, 0.5, 1], {**YES_NO, "metrics": "binary_iou"}, "target 'y' is 0.5; binary_iou takes integer class labels"),
        ([0, 0.5, 1], NUMBER, ""),
    ],
)  # fmt: skip
def test_labels_are_whole_and_among_the_classes(tmp_path: Path, y: Any, words: dict[str, str], text: str) -> None:
    y = np.array(y)
    small = y.astype(np.uint8) if "y" in words else y  # small integers are changed in the batch
    found = said(tmp_path, {"x": ROWS, "y": small}, **words)
    assert found.partition(": ")[2].startswith(text) if text else found == ""


def test_ctc_takes_whole_labels_of_its_classes(tmp_path: Path) -> None:
    words = {"layers": "dense: 5", "loss": "ctc"}
    x = np.zeros((2, 6, 3))
    assert said(tmp_path, {"x": x, "y": np.array([[1.0, 4.0], [2.0, 0.0]])}, **words) == ""
    assert said(tmp_path, {"x": x, "y": np.array([[1.0, 4.0], [2.5, 0.0]])}, **words).startswith(
        "t.npz:2:y: target 'y' is 2.5; ctc"
    )
    assert said(tmp_path, {"x": x, "y": np.array([[1, 5], [2, 0]])}, **words).startswith(
        "t.npz:1:y: target 'y' is 5; the output has 5"
    )


EMBEDDING = "the embedding 'embedding' has rows 0 to 4"


@pytest.mark.parametrize(
    ("x", "text"),
    [
        ([[0.0, 1, 2, 3]] * 3, ""),
        ([[0.0, 1, 2, 3], [0, 1, 2.5, 3]], f"t.npz:2:x: 'x\' holds 2.5; {EMBEDDING}, integers only"),
        ([[0.0, 1, 2, 3], [0, 1, 5.0, 3]], f"t.npz:2:x: 'x\' holds 5.0; {EMBEDDING}"),
        ([[0, 1, 2, -3]], f"t.npz:1:x: 'x\' holds -3; {EMBEDDING}"),
    ],
)  # fmt: skip
def test_token_ids_are_whole_and_known_also_behind_a_reshape(tmp_path: Path, x: Any, text: str) -> None:
    assert said(tmp_path, {"x": np.array(x), "y": np.zeros(len(x))}, **TOKENS) == text


def test_token_ids_that_float32_does_not_tell_apart_are_refused(tmp_path: Path) -> None:
    words = {"layers": f"embedding: {{input_dim: {2**25}, output_dim: 1}}, flatten, dense: 1", "loss": "mse"}
    ids = np.array([[1.0], [2.0**24 + 1]])
    wanted = "t.npz:2:x: 'x' is float32, which does not hold all integers from 16,777,216 on"
    assert said(tmp_path, {"x": ids, "y": np.zeros(2)}, **words) == wanted
    assert said(tmp_path, {"x": ids, "y": np.zeros(2)}, **words, x="cast: int64") == ""


BIG = 2**53 + 1


@pytest.mark.parametrize("section", ["inputs", "targets"])
def test_a_whole_number_that_floats_do_not_hold_is_refused_where_it_becomes_one(tmp_path: Path, section: str) -> None:
    x, y = np.array([[1], [2**60], [3]]), np.array([2**62, 5, 2**53])
    assert said(tmp_path, {"x": x, "y": y}, **NUMBER) == ""  # float64 holds these
    (x if section == "inputs" else y).flat[1] = -BIG
    name = "x" if section == "inputs" else "y"
    wanted = f"t.npz:2:{name}: '{name}' holds {-BIG}, which would be rounded: floats hold integers up to 2**53"
    assert said(tmp_path, {"x": x, "y": y}, **NUMBER) == wanted


def test_an_id_that_is_looked_up_stays_exact(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([BIG, BIG - 1, BIG, 7]))
    (tmp_path / "t.csv").write_text(f"x,y\n{BIG},{2**64 - 1}\n{BIG - 1},{2**64 - 2}\n{BIG},{2**64 - 1}\n7,3\n")
    for source, name in (("npz", "x"), ("csv", "x"), ("csv", "y")):
        spec = parse_data({"source": {source: f"t.{source}"}, "inputs": {name: "integer_lookup"}})
        data = load_data(spec, Context(tmp_path, 0))
        found = data.splits["train"].read(slice(0, 4)).inputs[name].tolist()
        assert found[0] == found[2] != found[1]
    (tmp_path / "words.csv").write_text(f'x\n{BIG}\n{BIG - 1}\n""\n{10**30 + 1}\n')
    step = {"string_lookup": {"mask_token": ""}}
    spec = parse_data({"source": {"csv": "words.csv"}, "inputs": {"x": step}})
    found = load_data(spec, Context(tmp_path, 0)).splits["train"].read(slice(0, 4)).inputs["x"].tolist()
    assert len(set(found)) == 4


def test_numbers_in_text_are_cast_with_all_their_digits(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([str(BIG), "-3"]))
    spec = parse_data({"source": {"npz": "t.npz"}, "inputs": {"x": {"cast": "int64"}}})
    assert load_data(spec, Context(tmp_path, 0)).splits["train"].read(slice(0, 2)).inputs["x"].tolist() == [BIG, -3]
    np.savez(tmp_path / "t.npz", x=np.array([str(BIG), "", "1.5"]))
    spec = parse_data({"source": {"npz": "t.npz"}, "inputs": {"x": {"cast": "float64"}}})
    with pytest.raises(DataError, match=f"^{BIG} has too many digits for a number"):
        load_data(spec, Context(tmp_path, 0))


def test_rows_on_disk_are_looked_at_as_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
    np.savez(tmp_path / "t.npz", x=np.repeat(ROWS, 4, 0), y=np.array([0.0, 1, 2] * 3 + [0.99] + [1, 2]))
    with pytest.raises(DataError, match=FRACTION) as caught:
        train(config(tmp_path, **CLASSES), tmp_path / "runs")
    assert str(caught.value.faults[0].place) == "t.npz:10:y"


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_a_raw_file_is_held_to_the_same(tmp_path: Path, suffix: str) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([0.0, 1, 2, 3]), y=np.array([0.0, 1, 2, 1]))
    words = {**CLASSES, "layers": "embedding: {input_dim: 4, output_dim: 3}, softmax"}
    run, _ = train(config(tmp_path, **words), tmp_path / "runs")

    def raw(x: list[float], y: list[float]) -> str:
        path = tmp_path / f"raw.{suffix}"
        if suffix == "npz":
            np.savez(path, x=x, y=y)
        else:
            path.write_text("x,y\n" + "".join(f"{a},{b}\n" for a, b in zip(x, y, strict=True)))
        return str(path)

    opened = open_run(run)
    path = raw([1.0, 2.0], [0.0, 0.99])
    line = 3 if suffix == "csv" else 2  # the header is the first
    with pytest.raises(DataError, match=FRACTION) as caught:
        evaluate_rows(opened, rows_of(opened, path, targets=True), path)
    assert str(caught.value.faults[0].place) == f"{path}:{line}:y"
    with pytest.raises(DataError, match=r"'x' holds 1\.25; the embedding") as caught:
        predict_run(opened, raw([1.25, 2.0], [0.0, 1.0]))
    assert str(caught.value.faults[0].place) == f"{path}:{line - 1}:x"
    with pytest.raises(DataError, match=r"1e\+300 is too large for float32"):
        predict_run(opened, raw([1.0, 1e300], [0.0, 1.0]))


def test_rounding_is_reported_by_the_bits_of_a_number() -> None:
    random = np.random.default_rng(0)
    values = random.integers(-(2**63), 2**63 - 1, size=2_000) >> random.integers(0, 63, size=2_000)
    values = np.concatenate([values << random.integers(0, 8, size=2_000), [0, 1, -1, -(2**63), 2**63 - 1, 2**53, BIG]])
    for value in values.tolist():
        assert (first_rounded(np.array([value])) is None) == (int(float(value)) == value), value
    for value in (2**64 - 1, 2**64 - 2**11, 2**63):
        assert (first_rounded(np.array([value], np.uint64)) is None) == (int(float(value)) == value), value
    assert first_rounded(values[:0]) is None
    swapped = np.array([5, BIG], ">i8")
    assert first_rounded(swapped) == (1, (0, 1), BIG)


def test_labels_without_limits_and_empty_rows() -> None:
    assert first_invalid(np.zeros((0, 3)), Labels(0, 1)) is None
    assert first_invalid(np.array([5.0, -7.0]), Labels()) is None
    assert first_invalid(np.array([5.0, -7.5]), Labels()) == (1, 0, -7.5, False)
    assert first_invalid(np.array([5, -7]), Labels(0)) == (1, 0, -7, True)
