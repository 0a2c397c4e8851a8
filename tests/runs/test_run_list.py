"""`kerascli runs`: best epochs, conditions, orders, tags; names that are ambiguous or unknown; narrow terminals."""

import json
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.report.page.runs_page import list_html
from kerascli.report.tables import RunLine, list_table
from kerascli.runs import history
from kerascli.runs.index import list_runs
from kerascli.runs.record import RunRecord
from tests.support.runs_harness import HARD, TWO_CLASSES, edit_facts, train, write, write_rows

RESOLVED = """
seed: 1
data: {{source: {{csv: {{path: a.csv}}}}, split: {{seed: 7}}}}
model:
  layers:
    - dense: {{units: {units}, activation: relu}}
    - dense: {{units: 1}}
    - dropout: 0.5
compile: {{optimizer: {{{optimizer}: {{learning_rate: 0.1, clipnorm: {clipnorm}}}}}}}
"""


def make_run(folder: Path, name: str, accuracies: Sequence[float], **facts: Any) -> RunRecord:
    run = RunRecord(folder / name)
    run.path.mkdir(parents=True)
    config = {
        key: facts.pop(key, default) for key, default in (("units", 64), ("optimizer", "adam"), ("clipnorm", "null"))
    }
    run.write_resolved(RESOLVED.format(**config))
    run.begin({"directions": {"accuracy": "max", "loss": "min"}, **facts})
    rows = [
        {"epoch": epoch, "loss": 1.0 / epoch, "val_loss": 1 - each, "val_accuracy": each}
        for epoch, each in enumerate(accuracies, start=1)
    ]
    write_rows(run, rows)
    run.finish("completed", results=facts.get("results"))
    return run


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    make_run(runs, "2026-01-01T00-00-00Z-narrow", [0.5, 0.9, 0.7], flags={"width": 8}, units=16)
    make_run(runs, "2026-01-02T00-00-00Z-wide", [0.6, 0.8], results={"test": {"accuracy": 0.95, "loss": 2.0}})
    make_run(runs, "2026-01-03T00-00-00Z-other", [0.95], flags={"width": 32}, optimizer="sgd", clipnorm="1.0")
    return runs


def runs(line: str) -> tuple[str, str]:
    """Return stdout and stderr of a successful command; otherwise raise its error."""
    result = CliRunner().invoke(app, ["runs", *shlex.split(line)], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


def names(line: str) -> list[str]:
    return [each["run"].rpartition("-")[2] for each in json.loads(runs(f"{line} --json")[0])]


def error_of(line: str) -> str:
    with pytest.raises(ConfigError) as error:
        runs(line)
    assert error.value.exit_code == 2
    return "\n".join(error.value.faults[0].lines())


def test_the_best_epoch_stands_beside_the_last(three: Path) -> None:
    lines = runs("")[0].splitlines()
    assert lines[0].split()[-4:] == ["best", "(epoch)", "last", "epoch"]
    assert re.search(r"  val_loss 0.1 \(2\) +val_loss 0.3, val_accuracy 0.7$", lines[1])
    first = json.loads(runs("--json")[0])[0]
    assert (first["monitor"], first["best"]["epoch"], first["last"]["epoch"]) == ("val_loss", 2, 3)
    assert first["best"]["val_accuracy"] == 0.9


def test_the_best_epoch_is_that_of_a_monitor_with_its_direction(three: Path) -> None:
    edit_facts(three / "2026-01-01T00-00-00Z-narrow", monitor={"loss": "max"})
    assert re.search(r"  loss 1 \(1\) +loss 0.33333, val_loss 0.3,", runs("")[0])


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("way", ["min", "max"])
def test_the_outline_is_that_of_the_whole_history(tmp_path: Path, monitor: str, way: str) -> None:
    rows = [
        {"epoch": 1, "loss": math.nan, "val_loss": math.nan},
        {"epoch": 2, "loss": 0.5, "val_loss": 0.25, "val_accuracy": 1e-300},
        {"epoch": 3, "loss": math.inf},
        {"epoch": 4, "loss": 0.5, "val_loss": 0.25, "val_accuracy": -math.inf},
        {"epoch": 5, "loss": 0.5, "val_loss": 7, "val_accuracy": 1e-300},
    ]
    columns = ["epoch", "loss", "val_loss", "val_accuracy"]
    data = (history.header(columns) + "".join(history.line(row, columns) for row in rows)).encode()
    path = tmp_path / "history.csv"
    parsed = history.parse(data, path)
    known = [row for row in parsed if not math.isnan(row.get(monitor, math.nan))]
    best = (min if way == "min" else max)(known, key=lambda row: row[monitor])
    assert history.outline(data + b"6,0.", path, monitor, way) == (5, best, parsed[-1])
    assert history.outline(data, path, "absent", way) == (5, {}, parsed[-1])
    assert history.outline(b"", path, monitor, way) == (0, {}, {})
    with pytest.raises(FileRefused, match="expected numbers in each row"):
        history.outline(data + b"6,x,1,1\n", path, monitor, way)


def test_a_training_records_what_its_callbacks_monitor(tmp_path: Path) -> None:
    record, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs")
    assert record.facts()["monitor"] == {"val_loss": "min"}
    callbacks = "[{reduce_lr_on_plateau: {}}, {model_checkpoint: {monitor: accuracy, mode: min}}]"
    sets = [f"fit.callbacks={callbacks}", "fit.epochs=1"]
    record, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs", sets)
    assert record.facts()["monitor"] == {"accuracy": "min"}


def test_the_best_epoch_is_the_one_whose_weights_early_stopping_restores(tmp_path: Path) -> None:
    record, events = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.callbacks[0].early_stopping.verbose=1"])
    [text] = [str(event) for event in events if "restoring the weights of epoch" in str(event)]
    line = RunLine.of(record)
    assert (line.monitor, line.epochs, line.last) == ("val_loss", len(record.history()), record.history()[-1])
    assert f"restoring the weights of epoch {line.best['epoch']}" in text


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("val_accuracy > 0.85", ["narrow", "other"]),
        ("val_accuracy > 0.85 and width == 8", ["narrow"]),
        ("width >= 8", ["narrow", "other"]),
        ("not width == 8", ["other"]),
        ("test_accuracy > 0.9", ["wide"]),
        ("loss == 0.5", ["narrow", "wide"]),
        ("epochs in_order", None),
        ("epochs < 3 and status == 'completed'", ["wide", "other"]),
        ("model.layers[0].dense.units == 16", ["narrow"]),
        ("layers[0].dense.units / 2 < 10", ["narrow"]),
        ("optimizer == 'adam'", ["narrow", "wide"]),
        ("learning_rate == 0.1 and adam.learning_rate < e", ["narrow", "wide"]),
        ("clipnorm >= 1", ["other"]),
        ("seed == 1", ["narrow", "wide", "other"]),
        ("split.seed == 7", ["narrow", "wide", "other"]),
        ("val_accuracy > 2", []),
    ],
)
def test_where_takes_metrics_then_flags_then_settings(three: Path, condition: str, expected: list[str] | None) -> None:
    if expected is None:
        assert "expected an operator" in error_of(f'--where "{condition}"')
    else:
        assert names(f'--where "{condition}"') == expected


def test_a_metric_comes_before_a_flag_and_a_flag_before_a_setting(three: Path) -> None:
    make_run(three, "2026-01-04T00-00-00Z-all", [0.4], flags={"val_loss": 99, "clipnorm": 5})
    assert names('--where "val_loss < 1 and clipnorm == 5"') == ["all"]


def test_an_ambiguous_name_is_an_error_with_the_paths(three: Path) -> None:
    assert error_of("--where 'dense.units == 16'") == (
        "--where:1:1: error: in '2026-01-01T00-00-00Z-narrow' this is the name of 2 settings: "
        "model.layers[0].dense.units, model.layers[1].dense.units\n"
        "  1 | dense.units == 16\n"
        "    | ^^^^^^^^^^^\n"
        "  hint: write more of the path"
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--where 'val_loss < 1 and val_acuracy > 1'", "1:18: error: no run has a value 'val_acuracy'; did you mean"),
        ("--where 'model.layers[7].dense.units == 1'", "no run has a value 'model.layers[7].dense.units'"),
        ("--where 'val_loss'", "expected a condition, got 0.0999"),
        ("--where 'val_loss = 1'", "equality is '=='"),
        ("--where 'optimizer > 3'", "'>' cannot compare the text 'adam' with 3 (in '2026-01-01T00-00-00Z-narrow')"),
        ("--where 'eval(1) == 1'", "there is no function 'eval' of numbers"),
        ("--where '__import__(1) == 1'", "there is no function '__import__'"),
        ("--where 'val_loss / 0 > 1'", "division by zero"),
        ("--where ''", "expected a value, got the end"),
        ("--sort -val_acuracy", "--sort:1:2: error: no run has a value 'val_acuracy'; did you mean 'val_accuracy'?"),
        ("--sort -optimizer", "expected a number, got the text"),
        ("--best val_acuracy", "--best:1:1: error: no run has a value 'val_acuracy'; did you mean 'val_accuracy'?"),
        ("--best width", "whether lower or higher is better is not known"),
        ("--best val_loss --limit 2", "--limit does not go with --best"),
        ("--best val_loss --where 'val_loss > 5'", "--best: no run is selected in 'runs'"),
        ("--best val_loss --runs-dir none", "--best: there are no runs in 'none'"),
    ],
)  # fmt: skip
def test_faults_are_one_clear_error(three: Path, line: str, text: str) -> None:
    assert text in error_of(line)


def test_runs_are_sorted_and_limited(three: Path) -> None:
    assert names("--sort val_accuracy") == ["wide", "narrow", "other"]
    assert names("--sort -val_accuracy") == ["other", "narrow", "wide"]
    assert names("--sort -width") == ["other", "narrow", "wide"], "a run without the value is last"
    assert names("--sort width") == ["narrow", "other", "wide"]
    assert names("--sort optimizer") == ["narrow", "wide", "other"]
    assert names("--sort -val_accuracy --limit 2") == ["other", "narrow"]
    assert names("--limit 2") == ["wide", "other"], "the latest"
    assert names("list --limit 9 --sort -epochs") == ["narrow", "wide", "other"]


def test_a_run_without_an_epoch_lacks_the_metrics_of_others(three: Path) -> None:
    begun = make_run(three, "2026-01-04T00-00-00Z-begun", [])
    begun.write_resolved(RESOLVED.format(units=1, optimizer="adam", clipnorm="null") + "  loss: {dense: mse}\n")
    found = json.loads(runs("--where 'loss < 1' --json")[0])
    assert [each["run"][-5:] for each in found] == ["arrow", "-wide"]


def test_no_run_is_the_best_where_the_metric_has_no_value(three: Path) -> None:
    make_run(three.parent / "others", "2026-01-01T00-00-00Z-first", [])
    make_run(three.parent / "others", "2026-01-02T00-00-00Z-second", [math.nan])
    assert "no run has a value of this metric" in error_of("--best val_accuracy --runs-dir others")


def test_best_prints_a_name_alone(three: Path) -> None:
    assert runs("--best val_accuracy") == ("2026-01-03T00-00-00Z-other\n", "")
    assert runs("--best loss") == ("2026-01-01T00-00-00Z-narrow\n", "")
    assert runs("--best test_loss") == ("2026-01-02T00-00-00Z-wide\n", "")
    assert runs("list --best val_loss --where 'width == 8'") == ("2026-01-01T00-00-00Z-narrow\n", "")


def test_nothing_selected_is_said_and_prints_no_data(three: Path) -> None:
    assert runs("--where 'val_loss > 5'") == ("", "no run is selected in 'runs'\n")
    assert runs("--where 'any > 5' --runs-dir none") == ("", "there are no runs in 'none'\n")


def test_damaged_runs_are_listed_and_do_not_stop_a_condition(three: Path) -> None:
    (three / "2026-01-01T00-00-00Z-narrow" / "run.json").write_text("{")
    (three / "2026-01-02T00-00-00Z-wide" / "resolved.yaml").write_text("[")
    (three / "2026-01-03T00-00-00Z-other" / "tags.json").write_text('{"tags": [3]}')
    assert names("--where 'clipnorm == 1'") == ["other"]
    assert names("--sort val_loss") == ["other", "wide", "narrow"]
    out, _ = runs("")
    assert "completed, tags damaged" in out
    assert "unknown" in out


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_name_is_broken_and_no_line_of_short_names_is_wider(three: Path, width: int) -> None:
    long = f"2026-01-04T00-00-00Z-{'n' * 100}"
    lines = [RunLine.of(run) for run in list_runs(three)]
    widest = len(f"{lines[0].run}  val_loss 0.05, val_accuracy 0.95")  # one column beside the names is always there
    assert max(map(len, list_table(lines, width).splitlines())) <= max(width, widest)
    make_run(three, long, [0.5])
    shown = list_table([RunLine.of(run) for run in list_runs(three)], width)
    assert all(name in shown.split() for name in (long, "2026-01-01T00-00-00Z-narrow"))


def test_tags_are_listed_selected_and_removed(three: Path) -> None:
    sealed = {path: path.read_bytes() for path in three.rglob("*.*") if path.is_file()}
    assert runs("tag wide good paper-1.0") == ("", "runs/2026-01-02T00-00-00Z-wide: good, paper-1.0\n")
    runs("tag wide good")
    runs("tag other good")
    assert {path: path.read_bytes() for path in sealed} == sealed
    assert names("--tag good") == ["wide", "other"]
    assert names("--tag good --tag paper-1.0") == ["wide"]
    assert names("--tag bad") == []
    assert "  good, paper-1.0  " in runs("")[0]
    assert "[good, paper-1.0]" in runs("show wide")[0]
    assert runs("tag wide good --remove")[1] == "runs/2026-01-02T00-00-00Z-wide: paper-1.0\n"
    assert runs("tag other good --remove")[1] == "runs/2026-01-03T00-00-00Z-other: no tags\n"
    assert "tags" not in runs("--limit 1")[0].splitlines()[0]
    assert "hint: it has paper-1.0" in error_of("tag wide good --remove")
    assert "cannot be a tag" in error_of("tag wide ../x")


def test_the_page_of_the_list_has_tags_and_best_epochs(three: Path) -> None:
    runs("tag narrow good")
    page = list_html([RunLine.of(run) for run in list_runs(three)], lambda name: f"/{name}", "/events")
    for text in ('class="number">best epoch</th>', ">good</td>", ">best val_loss</th>"):
        assert text in page, text


def test_the_list_is_the_command_without_a_name(three: Path) -> None:
    assert runs("--limit 1") == runs("list --limit 1")
    assert "list " in runs("--help")[0]
    assert error_of("--runs-dir runs show narrow").startswith("error: options of 'show' go after it")


def test_facts_are_read_again_when_the_file_has_changed(three: Path) -> None:
    run = RunRecord(three / "2026-01-02T00-00-00Z-wide")
    run.facts()["status"] = "mine"
    assert run.facts()["status"] == "completed"
    edit_facts(run.path, status="stopped")
    assert run.facts()["status"] == "stopped"
    run.note(status="failed")
    assert run.status() == "failed"
