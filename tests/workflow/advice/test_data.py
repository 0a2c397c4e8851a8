"""Warnings about rows: labels among the inputs, duplicate and sorted rows, and constant columns."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.data.sources.file_source import Csv
from kerascli.foundation.errors import Fault
from kerascli.runs.index import find_run
from kerascli.workflow.check import check
from tests.support.runs_harness import write

RANDOM = np.random.default_rng(5)
SPARSE = "sparse_categorical_crossentropy"


def table(path: Path, **columns: Any) -> None:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows), ""]), encoding="utf-8")


def config(
    inputs: str, targets: str, *, loss: str = SPARSE, units: int = 3, more: str = "", fit: str = "", test: str = ""
) -> str:
    activation = "softmax" if "crossentropy" in loss else "linear"
    source = f"csv: {{path: rows.csv{f', test: {test}' if test else ''}}}"
    last = f"{{dense: {{units: {units}, activation: {activation}, name: out}}}}"
    return f"""
seed: 1
data:
  source: {{{source}}}
  inputs: {inputs}
  targets: {targets}
{more}
model:
  layers: [{{concatenate: INPUTS}}, {last}]
compile: {{loss: {loss}}}
fit: {{epochs: 1, batch_size: 16{fit}}}
"""


def warned(folder: Path, text: str, joined: Sequence[str] = ("x",)) -> list[Fault]:
    """Return the warnings; `joined` are the inputs that the model concatenates."""
    text = text.replace("INPUTS", f"[{', '.join(joined)}]") if len(joined) > 1 else text.replace(
        "{concatenate: INPUTS}, ", ""
    )  # fmt: skip
    return check(write(folder, text), sets=[], flags=[]).warnings


def texts(folder: Path, text: str, joined: Sequence[str] = ("x",)) -> list[str]:
    return [fault.text for fault in warned(folder, text, joined)]


def measures(rows: int = 60) -> dict[str, np.ndarray]:
    """Return two columns of measurements, and a class that is independent of them."""
    a, b = RANDOM.normal(size=(2, rows)).round(4)
    return {"a": a, "b": b, "kind": RANDOM.permutation(np.arange(rows) % 3)}


X = "{x: [{columns: [a, b]}]}"
KIND = "{kind: []}"


def test_ordinary_rows_give_no_advice(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **measures())
    table(tmp_path / "test.csv", **measures(30))
    assert texts(tmp_path, config(X, KIND, fit=", validation_split: 0.2", test="test.csv")) == []


# A label among the inputs


def test_a_target_among_the_inputs(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **measures())
    [fault] = warned(tmp_path, config("{x: [{columns: [a, kind]}]}", KIND))
    assert fault.lines() == [
        f"{tmp_path}/config.yaml:5:12: warning: column 'kind' is a target ('kind') and an input ('x'): the model is "
        "given what it is to predict",
        "  5 |   inputs: {x: [{columns: [a, kind]}]}",
        "    |            ^",
        "  hint: remove it from the inputs, or from 'kind'",
    ]


def test_a_copy_of_a_target_among_the_inputs(tmp_path: Path) -> None:
    columns = measures()
    table(tmp_path / "rows.csv", **columns, copy=columns["kind"])
    [text] = texts(tmp_path, config("{x: [{columns: [a, copy]}]}", KIND))
    assert text.startswith("column 'copy' equals the target 'kind' in every training row")
    almost = np.where(np.arange(60) == 41, 7, columns["kind"])
    table(tmp_path / "rows.csv", **columns, copy=almost)
    assert texts(tmp_path, config("{x: [{columns: [a, copy]}]}", KIND)) == []


def test_a_copy_that_is_words(tmp_path: Path) -> None:
    words = np.array(["red", "green", "blue"])[measures()["kind"]]
    table(tmp_path / "rows.csv", a=measures()["a"], colour=words, kind=words)
    inputs = "{x: [{columns: [a]}], colour: [{string_lookup: {output_mode: one_hot}}]}"
    [text] = texts(tmp_path, config(inputs, "{kind: [string_lookup]}"), ["x", "colour"])
    assert text.startswith("column 'colour' equals the target")


def test_a_copy_of_a_regression_target(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **measures(), y=(y := measures()["a"]), copy=y)
    [text] = texts(tmp_path, config("{x: [{columns: [a, copy]}]}", "{y: []}", loss="mse", units=1))
    assert text.startswith("column 'copy' equals the target 'y' in every training row")


def test_what_makes_its_inputs_again_is_told_them(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **measures())
    assert texts(tmp_path, config(X, "{out: [{columns: [a, b]}]}", loss="mse", units=2)) == []
    one = config("{x: [{columns: [a]}]}", "{out: [{columns: [a]}]}", loss="mse", units=1)
    assert texts(tmp_path, one) == []


def test_a_class_that_is_its_own_only_input_is_not_made_again(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **measures())
    [text] = texts(tmp_path, config("{x: [{columns: [kind]}]}", KIND))
    assert "column 'kind' is a target" in text


def test_a_decoder_is_told_what_it_has_written(tmp_path: Path) -> None:
    said = [" ".join(RANDOM.choice(["to", "be", "or", "not"], 4)) for _ in range(60)]
    table(tmp_path / "rows.csv", a=measures()["a"], said=said)
    words = "{text_vectorization: {output_sequence_length: 5}}"
    text = f"""
data:
  source: {{csv: {{path: rows.csv}}}}
  shared: {{words: {words}}}
  inputs: {{so_far: [{{columns: said}}, words, {{shift: -1}}, to_categorical], a: []}}
  targets: {{said: [words]}}
model:
  layers: [{{repeat_vector: {{n: 5, inputs: a}}}}, {{concatenate: [so_far, prev]}}, {{lstm: {{units: 4,
    return_sequences: true}}}}, {{dense: {{units: $targets.said.num_classes, activation: softmax}}}}]
compile: {{loss: {SPARSE}}}
"""
    text = text.replace("a: []", "a: [{columns: [a]}]")
    assert texts(tmp_path, text) == []


# Rows that splits share


def test_rows_of_test_that_train_has_too(tmp_path: Path) -> None:
    rows = measures(200)
    table(tmp_path / "rows.csv", **rows)
    table(tmp_path / "test.csv", **{name: np.concatenate([rows[name][:7], v]) for name, v in measures(43).items()})
    [fault] = warned(tmp_path, config(X, KIND, test="test.csv"))
    assert fault.text == "7 of the 50 rows of 'test' are also in 'train', with the same inputs and targets"
    assert fault.place is not None
    assert fault.place.line == 4


def test_rows_that_agree_in_their_inputs_alone_are_other_rows(tmp_path: Path) -> None:
    rows = measures(200)
    table(tmp_path / "rows.csv", **rows)
    table(tmp_path / "test.csv", **{**{name: v[:50] for name, v in rows.items()}, "kind": (rows["kind"][:50] + 1) % 3})
    assert texts(tmp_path, config(X, KIND, test="test.csv")) == []


def test_rows_that_were_copied_before_the_split(tmp_path: Path) -> None:
    """Duplicates within `train` are counted, too; such values do not repeat by chance."""
    rows = measures(100)
    table(tmp_path / "rows.csv", **{name: np.concatenate([values, values]) for name, values in rows.items()})
    [fault] = warned(tmp_path, config(X, KIND, more="  split: {test: 0.2, seed: 1}"))
    assert "of the 40 rows of 'test' are also in 'train'" in fault.text


def test_numbers_are_integers_in_one_file_and_floats_in_another(tmp_path: Path) -> None:
    rows = measures(50)
    table(tmp_path / "rows.csv", **{**rows, "a": [*range(49), ""]})
    table(tmp_path / "test.csv", **{name: values[:40] for name, values in {**rows, "a": [*range(50)]}.items()})
    inputs = "{x: [{columns: [a, b]}, {impute: mean}]}"
    found = texts(tmp_path, config(inputs, KIND, test="test.csv"))
    assert found == ["40 of the 40 rows of 'test' are also in 'train', with the same inputs and targets"]


@pytest.mark.parametrize("values", [2, 5, 12])
def test_rows_of_few_values_that_repeat_by_chance_give_no_advice(values: int, tmp_path: Path) -> None:
    a, b, c = RANDOM.integers(0, values, (3, 400))
    table(tmp_path / "rows.csv", a=a, b=b, kind=c % 3)
    assert texts(tmp_path, config(X, KIND, more="  split: {test: 0.2, validation: 0.2, seed: 1}")) == []


def test_places_that_are_measured_several_times_give_no_advice(tmp_path: Path) -> None:
    places = RANDOM.normal(size=(40, 2)).round(4)[RANDOM.integers(0, 40, 900)]
    table(tmp_path / "rows.csv", a=places[:, 0], b=places[:, 1], kind=RANDOM.integers(0, 3, 900))
    assert texts(tmp_path, config(X, KIND, more="  split: {test: 0.2, seed: 1}")) == []


def test_one_test_row_in_a_hundred_seen_in_training_gives_no_advice(tmp_path: Path) -> None:
    rows = measures(600)
    table(tmp_path / "rows.csv", **rows)
    table(tmp_path / "test.csv", **{name: np.concatenate([rows[name][:2], v]) for name, v in measures(398).items()})
    assert texts(tmp_path, config(X, KIND, test="test.csv")) == []


@pytest.mark.parametrize(("place", "shared"), [("here", True), ("there", False)])
def test_rows_that_differ_in_a_word_are_other_rows(place: str, shared: bool, tmp_path: Path) -> None:
    rows = measures(50)
    table(tmp_path / "rows.csv", **rows, place=["here"] * 49 + ["there"])
    table(tmp_path / "test.csv", **{name: values[:40] for name, values in rows.items()}, place=[place] * 40)
    inputs = "{x: [{columns: [a, b]}], place: [{string_lookup: {output_mode: one_hot}}]}"
    found = texts(tmp_path, config(inputs, KIND, test="test.csv"), ["x", "place"])
    said = "40 of the 40 rows of 'test' are also in 'train', with the same inputs and targets"
    assert found == ([said] if shared else [])


@pytest.mark.parametrize("added", [0, 1])
def test_pictures_that_differ_somewhere_are_other_rows(added: int, tmp_path: Path) -> None:
    x, kind = RANDOM.integers(0, 256, (60, 28, 28)).astype(np.uint8), RANDOM.permutation(np.arange(60) % 3)
    np.savez(tmp_path / "rows.npz", x=x, kind=kind)
    x[:, 27, 26] += added
    np.savez(tmp_path / "test.npz", x=x[:30], kind=kind[:30])
    text = config("{x: []}", KIND).replace("csv: {path: rows.csv}", "npz: {path: rows.npz, test: test.npz}")
    found = texts(tmp_path, text.replace("[{concatenate: INPUTS}, ", "[flatten, "))
    assert [text[:21] for text in found] == ([] if added else ["30 of the 30 rows of "])


# What never varies, and what is in order


@pytest.mark.parametrize("kind", ["0", "2"])
def test_a_target_of_one_class_is_warned_of(kind: str, tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **{**measures(), "kind": [kind] * 60})
    for target, loss in ((KIND, SPARSE), ("{kind: [{to_categorical: 3}]}", "categorical_crossentropy")):
        [fault] = warned(tmp_path, config(X, target, loss=loss))
        assert fault.text == "the target 'kind' is constant in the 60 training rows: they are all of one class"
        assert fault.place is not None
        assert fault.place.line == 6


def test_a_number_may_never_vary(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **{**measures(), "kind": [1.5] * 60})
    assert texts(tmp_path, config(X, KIND, loss="mse", units=1)) == []


def test_labels_in_order_leave_classes_to_the_last_rows(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **{**measures(), "kind": np.sort(measures()["kind"])})
    [fault] = warned(tmp_path, config(X, KIND, fit=", validation_split: 0.5"))
    assert fault.text == (
        "validation_split takes the last rows, and they have classes of 'kind' that the training rows lack: '2'; "
        "the rows seem to be sorted"
    )
    assert fault.hint == "data: {split: {validation: 0.2}} draws the rows at random"
    assert fault.place is not None
    assert fault.place.line == 11


@pytest.mark.parametrize("form", [int, float, str, "falling"])
def test_labels_in_order_leave_one_class_to_validate(form: Any, tmp_path: Path) -> None:
    kind = np.repeat([0, 1], 30)[:: -1 if form == "falling" else 1]
    written = [str(n) if form == "falling" else f"k{n}" if form is str else str(form(n)) for n in kind]
    table(tmp_path / "rows.csv", **{**measures(), "kind": written})
    target = "{kind: [string_lookup]}" if form is str else KIND
    [text] = texts(tmp_path, config(X, target, units=2, fit=", validation_split: 0.2"))
    assert "and the rows are sorted by 'kind': the validation rows are all of" in text


def test_labels_that_are_mixed_and_numbers_in_order_are_no_matter(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **measures())
    assert texts(tmp_path, config(X, KIND, fit=", validation_split: 0.2")) == []
    table(tmp_path / "rows.csv", **{**measures(), "kind": np.linspace(0, 5, 60)})  # time goes on
    assert texts(tmp_path, config(X, KIND, loss="mse", units=1, fit=", validation_split: 0.2")) == []
    table(tmp_path / "rows.csv", **{**measures(), "kind": np.sort(measures()["kind"])})
    assert texts(tmp_path, config(X, KIND, loss="mse", units=1, fit=", validation_split: 0.2")) == []  # counts
    assert texts(tmp_path, config(X, KIND, more="  split: {validation: 0.2}")) == []


@pytest.mark.parametrize(
    ("step", "loss", "count"),
    [
        ("text_vectorization: {output_mode: count}", "poisson", 0),
        ("text_vectorization: {output_mode: multi_hot}", "binary_crossentropy", 0),
        ("hashing: 9", "sparse_categorical_crossentropy", 1),
    ],
)
def test_texts_that_are_taken_apart_are_no_classes(step: str, loss: str, count: int, tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", x=range(10), kind=["a b"] * 8 + ["b c"] * 2)
    text = "data: {source: {csv: {path: rows.csv}}, inputs: {x: [{columns: [x]}]}, targets: {kind: [{" + step + "}]}}"
    units = 9 if count else "'$(targets.kind.shape[-1])'"
    text += f"\nmodel: {{layers: [{{dense: {units}}}]}}\ncompile: {{loss: {loss}}}\nfit: {{validation_split: 0.2}}\n"
    assert sum(each.startswith("validation_split takes") for each in texts(tmp_path, text)) == count


def test_columns_that_never_vary(tmp_path: Path) -> None:
    table(tmp_path / "rows.csv", **{**measures(), "b": [7] * 60, "place": ["here"] * 60})
    inputs = "{x: [{columns: [a, b]}, normalization], place: [{string_lookup: {output_mode: one_hot}}]}"
    first, second = texts(tmp_path, config(inputs, KIND), ["x", "place"])
    assert first == "the input 'x' has constant values in the training rows: column 'b' is 7"
    assert second == "the input 'place' has constant values in the training rows: column 'place' is the text 'here'"


def test_numbers_of_an_array_may_never_vary(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.full((50, 4), 0.25), kind=np.arange(50) % 3)
    text = config("{x: []}", KIND).replace("csv: {path: rows.csv}", "npz: {path: rows.npz}")
    assert texts(tmp_path, text) == []


# What the test has and training has not


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ((90, 10), (30, 30), "'1' is 10.0% of the training rows and 50.0% of the test rows"),
        ((50, 50), (55, 5), "'1' is 50.0% of the training rows and 8.3% of the test rows"),
        ((90, 10), (27, 3), None),
        ((90, 10), (24, 6), None),  # 2 deviations
        ((500, 500), (340, 260), None),  # 4.1 deviations, but a ratio of 1.1
        ((998, 2), (98, 2), None),  # 4.5 deviations of what is expected twice in a thousand rows
    ],
)
def test_classes_whose_shares_differ(
    train: tuple[int, int], test: tuple[int, int], said: str | None, tmp_path: Path
) -> None:
    for name, counts in (("rows.csv", train), ("test.csv", test)):
        kind = RANDOM.permutation(np.repeat([0, 1], counts))
        table(tmp_path / name, **(measures(len(kind)) | {"kind": kind}))
    found = texts(tmp_path, config(X, KIND, test="test.csv"))
    assert found == ([] if said is None else [f"the classes of 'kind' have other shares: {said}"])


@pytest.mark.parametrize(
    ("split", "said"),
    [("validation: 0.2, test: 0.2, order: day", "the shares change with time: "), ("test: 0.5, seed: 1", None)],
)
def test_shares_that_change_with_time(split: str, said: str | None, tmp_path: Path) -> None:
    """Rows split by time differ, and rows drawn at random do not."""
    days = np.arange("2023-01-01", "2024-01-01", dtype="datetime64[D]")
    kind = RANDOM.random(len(days)) < np.linspace(0.05, 0.95, len(days))
    table(tmp_path / "rows.csv", **measures(len(days)) | {"kind": kind.astype(int), "day": days})
    found = warned(tmp_path, config(X, KIND).replace("  inputs:", f"  split: {{{split}}}\n  inputs:"))
    assert [str(fault.hint)[: len(said or "")] for fault in found] == ([] if said is None else [said])


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (("2023-01-01", "2023-12-31"), "rows lack values of 'month' that the test rows have: 11, 12 (82% "),
        (("2021-01-01", "2023-12-31"), None),  # the training rows have all months
        (("2023-01-01", "2023-01-31"), None),  # nor do 6 rows tell that a day of the month is missing
    ],
)
def test_parts_of_dates_that_training_lacks(days: tuple[str, str], said: str | None, tmp_path: Path) -> None:
    day = np.arange(*days, dtype="datetime64[D]")
    table(tmp_path / "rows.csv", **measures(len(day)) | {"day": day})
    inputs = "{x: [{columns: [a, b]}], day: [{impute: most_frequent}, {datetime: {parts: [month, weekday, day]}}]}"
    text = config(inputs, KIND).replace("  inputs:", "  split: {test: 0.2, order: day}\n  inputs:")
    found = texts(tmp_path, text, ("x", "day"))
    assert len(found) == (said is not None)
    assert all(f"the input 'day': the training {said}" in text for text in found)


# How they are told


def test_train_warns_once_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "rows.csv", **{**measures(), "b": [7] * 60})
    text = (
        config(X, KIND)
        .replace("{concatenate: INPUTS}, ", "")
        .replace("epochs: 1", "phases: [{epochs: 1}, {epochs: 1}]")
    )
    write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["train", "config.yaml"])
    assert done.exit_code == 0, done.exception
    said = "config.yaml:5:12: warning: the input 'x' has constant values in the training rows: column 'b' is 7"
    assert done.stderr.startswith(
        f"{said}\n  5 |   inputs: {X}\n    |            ^\n  hint: remove them: a constant tells"
    )
    assert done.stderr.count("warning:") == 1
    assert find_run("latest", Path("runs")).facts()["warnings"] == [said.replace("warning: ", "")]
    done = CliRunner().invoke(app, ["train", "config.yaml", "--json"])
    facts = json.loads(done.stdout)
    assert facts["results"] == {}
    assert facts["warnings"] == [said.replace("warning: ", "")]


def test_rows_that_stay_on_disk_are_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kerascli.data.storage import on_disk

    x = RANDOM.normal(size=(50, 4)).astype(np.float32)
    for name, values in (("x", x), ("kind", np.zeros(50, np.int64))):
        (tmp_path / "rows").mkdir(exist_ok=True)
        np.save(tmp_path / "rows" / f"{name}.npy", values)
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
    text = config("{x: []}", KIND).replace("csv: {path: rows.csv}", "npz: {path: rows}")
    found = check(write(tmp_path, text.replace("{concatenate: INPUTS}, ", "")), sets=[], flags=[])
    assert found.warnings == []


def test_every_split_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "rows.csv", **measures())
    read: list[str] = []
    read_file = Csv.read
    monkeypatch.setattr(Csv, "read", lambda self, *more: read.append(str(more[0])) or read_file(self, *more))
    texts(tmp_path, config(X, KIND, fit=", validation_split: 0.2"))
    assert len(read) == 1
