"""`evaluate` of a binary classifier: a table of thresholds, curves, a threshold that is asked for, groups of rows."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn import metrics

from kerascli.foundation.errors import ConfigError, DataError
from kerascli.report.text_tables import matrix_table, text_table
from kerascli.runs.record import RunRecord
from kerascli.workflow import evaluate
from kerascli.workflow.evaluate import classify, evaluate_rows
from kerascli.workflow.evaluation.groups import evaluate_groups, groups_of_values
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import command, train, write

CONFIG = """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  inputs: {x: [{columns: [a, b]}, normalization]}
  targets: {y: [{string_lookup: {positive: fraud}}]}
model: {layers: [{dense: {units: 1, activation: sigmoid, name: out}}]}
compile: {loss: binary_crossentropy, optimizer: {adam: 0.1}, metrics: [accuracy, auc, recall]}
fit: {epochs: 4}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("fraud")
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 200)).round(3).tolist()
    words = ["fraud" if x + y + z > 1 else "sound" for x, y, z in zip(a, b, random.normal(size=200), strict=True)]
    rows = [
        f"{x},{y},{word},{['north', 'south'][i % 2]}" for i, (x, y, word) in enumerate(zip(a, b, words, strict=True))
    ]
    (folder / "rows.csv").write_text("\n".join(["a,b,y,region", *rows, ""]))
    return train(write(folder, CONFIG), folder / "runs")[0]


def truth_and_probability(run: RunRecord) -> tuple[np.ndarray, np.ndarray]:
    found = predict_run(open_run(run), "train", keep=["y"])
    return found.kept["y"] == "fraud", found.columns["p(fraud)"]


def test_the_table_and_the_areas_are_of_the_positive_class(run: RunRecord) -> None:
    truth, probability = truth_and_probability(run)
    facts = json.loads(command("evaluate", run.path, "train", "--json"))["thresholds"]["out"]
    assert facts["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, probability), abs=1e-6)
    assert [row["threshold"] for row in facts["table"]] == [step / 10 for step in range(1, 10)]
    assert facts["table"][2]["recall"] == pytest.approx(metrics.recall_score(truth, probability > 0.3))


@pytest.mark.parametrize("option", [["--maximize", "f1"], ["--hold-recall", "0.8"]])
def test_a_threshold_that_was_found_is_that_of_predict(run: RunRecord, option: list[str]) -> None:
    *_, row, last = command("evaluate", run.path, "train", *option).splitlines()
    threshold = last.removeprefix("predict with --threshold ")
    rows = command("predict", run.path, "train", "--threshold", threshold, "--classes")
    predicted = np.array([line == "fraud" for line in rows.splitlines()[1:]])
    truth, _ = truth_and_probability(run)
    assert float(row.split()[2]) == pytest.approx(metrics.recall_score(truth, predicted), abs=1e-4)
    if option[0] == "--hold-recall":
        assert metrics.recall_score(truth, predicted) >= 0.8
    pictures = sorted(path.name for path in (run.path / "plots").iterdir())
    assert pictures == ["confusion_y_train.png", "curves_y_train.png"]


def test_rows_without_a_probability_give_no_thresholds(run: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(run: LoadedRun, compared: evaluate.Compared) -> Iterator[evaluate.ClassScores]:
        for _, _, y_pred, _ in compared:
            y_pred[[3, 5]] = float("nan")
        return classify(run, compared)

    monkeypatch.setattr(evaluate, "classify", diverged)
    assert "threshold  precision" not in command("evaluate", run.path, "train")
    assert json.loads(command("evaluate", run.path, "train", "--json"))["thresholds"] == {}
    for option in (["--maximize", "f1"], ["--hold-recall", "0.5"]):
        with pytest.raises(DataError, match=f"{option[0]}: no row has a true class, or the probability of one is nan"):
            command("evaluate", run.path, "train", *option)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--maximize", "f2"], "--maximize f2: expected f1, accuracy or balanced_accuracy"),
        (["--maximize", "f1", "--hold-recall", "0.5"], "--maximize and --hold-recall: give one of them"),
        (["--by", "regoin"], "there is no column 'regoin'; did you mean 'region'"),
    ],
)
def test_a_wrong_option_is_refused(run: RunRecord, options: list[str], text: str) -> None:
    with pytest.raises((ConfigError, DataError), match=text):
        command("evaluate", run.path, "train", *options)


def test_groups_are_evaluated_by_themselves(run: RunRecord) -> None:
    opened = open_run(run)
    rows = rows_of(opened, "train", targets=True)
    whole = evaluate_rows(opened, rows, "train").result
    groups = {group.name: group for group in evaluate_groups(opened, rows, "train", ["region"])[1]["region"]}
    assert list(groups) == ["north", "south"]
    truth, probability = truth_and_probability(run)
    for first, name in enumerate(groups):
        expected = metrics.accuracy_score(truth[first::2], probability[first::2] > 0.5)
        assert groups[name].logs["accuracy"] == pytest.approx(expected)
        assert groups[name].rows == 100
        assert groups[name].positives == {"out": truth[first::2].sum()}
    mean = np.mean([found.logs["loss"] for found in groups.values()])
    assert mean == pytest.approx(whole.logs["loss"], rel=1e-5)


def test_each_column_that_is_asked_for_has_a_table_with_aligned_numbers(run: RunRecord) -> None:
    text = command("evaluate", run.path, "train", "--by", "region", "--by", "y", "--by", "region")
    assert text.count("\nregion ") == 1
    first, second = text.index("\nregion "), text.index("\ny ")
    for at, names in ((first, ["north", "south"]), (second, ["fraud", "sound"])):
        lines = text[at + 1 :].splitlines()[:3]
        assert lines[0].split()[1:] == ["rows", "positives", "loss", "accuracy", "auc", "recall"]
        assert [line.split()[0] for line in lines[1:]] == names
        assert len(set(map(len, lines))) == 1


def test_what_a_group_leaves_undefined_is_a_dash_and_null_and_its_number_elsewhere(run: RunRecord) -> None:
    arguments = ("evaluate", run.path, "train", "--by", "y")
    table = command(*arguments).partition("\ny ")[2].splitlines()
    _, rows, positives, *_, auc, recall = table[2].split()
    assert (positives, auc, recall) == ("0", "-", "-")
    facts = json.loads(command(*arguments, "--json"))
    groups = facts["groups"]["y"]
    assert (
        groups["sound"]["results"]["auc"]
        is groups["sound"]["results"]["recall"]
        is groups["fraud"]["results"]["auc"]
        is None
    )
    assert groups["fraud"]["results"]["recall"] == facts["results"]["recall"]
    assert groups["fraud"]["positives"]["out"] == groups["fraud"]["rows"]
    assert groups["sound"]["rows"] == int(rows)
    accuracies = [group["results"]["accuracy"] * group["rows"] for group in groups.values()]
    assert sum(accuracies) == pytest.approx(facts["results"]["accuracy"] * facts["rows"])


def test_a_table_of_groups_wider_than_the_terminal_is_divided() -> None:
    names = ["region", "north", "s"]
    columns = [["rows", "1,000", "1"], ["loss", "0.5000", "2.0000"], ["mae", "12,345.6", "-"]]
    whole = ["region   rows    loss       mae", "north   1,000  0.5000  12,345.6", "s           1  2.0000         -"]
    assert text_table([names, *columns]).splitlines() == whole
    parts = text_table([names, *columns], width=22).split("\n\n")
    assert [part.splitlines()[0].split() for part in parts] == [["region", "rows", "loss"], ["region", "mae"]]


def test_a_group_is_made_of_each_number_beside_gaps_however_large() -> None:
    ids = np.array([1e19, np.nan, 2e19, 7.0, 1e19])
    names, numbers = groups_of_values(ids, None, "id")
    assert len(names) == 4
    assert numbers.tolist() == [1, 3, 2, 0, 1]
    assert groups_of_values(ids[3:4], None, "id")[0] == ["7"]


def test_groups_of_measures_are_refused(run: RunRecord) -> None:
    opened = open_run(run)
    with pytest.raises((ConfigError, DataError), match="--by a: expected a column of strings or integers"):
        evaluate_groups(opened, rows_of(opened, "train", targets=True), "train", ["a"])


def test_a_confusion_matrix_in_text_has_separators_and_shares_of_the_true_class() -> None:
    assert matrix_table([[1234567, 0], [0, 0]], ["no", "yes"]).splitlines() == [
        "true / predicted                  no       yes",
        "no                1,234,567 (100.0%)  0 (0.0%)",
        "yes                         0 (0.0%)  0 (0.0%)",
    ]
